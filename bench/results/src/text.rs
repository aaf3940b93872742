//! Figures and names as text, made safe for where they stand.

/// A figure with so many decimals, and a comma before every three digits from ten thousand on.
pub(crate) fn grouped(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let (whole, rest) = plain.find('.').map_or((&*plain, ""), |point| plain.split_at(point));
    let digits = whole.trim_start_matches('-');
    if digits.len() < 5 {
        return plain;
    }
    let sign = if whole.len() > digits.len() { "-" } else { "" };
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

/// A figure in as few digits as tell it: three that count, with a letter for thousands and millions.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, letter) = match size {
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        0.0 => 0,
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{letter}")
}

/// For a cell of a Markdown table.
pub(crate) fn markdown(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// For HTML and SVG, between tags and in attributes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// As the name of a place in a page: letters, digits and hyphens.
pub(crate) fn anchor(text: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' }
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_digits_from_ten_thousand_on() {
        let shown = [9999.4, 10000.0, -1_234_567.25, 0.5].map(|value| grouped(value, 1));
        assert_eq!(shown, ["9999.4", "10,000.0", "-1,234,567.2", "0.5"]);
    }

    #[test]
    fn shortens_to_three_digits() {
        let shown = [0.0, 0.31, 1.2, 5000.0, 12_000.0, 1.5e6, 2e9].map(short);
        assert_eq!(shown, ["0", "0.31", "1.2", "5000", "12 k", "1.5 M", "2 G"]);
    }

    #[test]
    fn nothing_that_was_measured_becomes_markup() {
        assert_eq!(
            escaped("<a href='x'>&\"</a>"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;"
        );
        assert_eq!(markdown("a|b\nc"), "a\\|b c");
    }
}
