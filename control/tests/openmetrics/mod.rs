//! A parser of `OpenMetrics` text, written from the rules of the specification 1.0 one by one, without haste: what it
//! does not know is an error.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, HashSet};

type Labels = BTreeMap<String, String>;

/// All samples by name and labels.
#[derive(Debug, Default)]
pub(crate) struct Exposition(BTreeMap<(String, Labels), f64>);

impl Exposition {
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self.0.get(&(name.to_owned(), labels)).copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.keys().any(|(found, _)| found == name)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Default)]
struct Family {
    name: String,
    kind: Option<String>,
    unit: Option<String>,
    help: Option<String>,
    has_samples: bool,
}

pub(crate) fn parse(text: &str) -> Result<Exposition, String> {
    let text = text.strip_suffix("# EOF\n").ok_or("does not end with # EOF and a line feed")?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("a line without its end".into());
    }
    let (mut exposition, mut family) = (Exposition::default(), Family::default());
    let (mut families, mut sample_names) = (HashSet::new(), HashSet::new());
    for line in text.lines() {
        let wrong = |what: &str| format!("{what}: {line:?}");
        if line.is_empty() || line.contains('\r') {
            return Err(wrong("an empty line or a carriage return"));
        }
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            let (what, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let rest = words.next().ok_or_else(|| wrong("a description without content"))?;
            if name != family.name {
                if !families.insert(name.to_owned()) {
                    return Err(wrong("a family that is not in one piece"));
                }
                family = Family { name: name.to_owned(), ..Family::default() };
            }
            describe(&mut family, what, rest).map_err(|what| wrong(&what))?;
        } else {
            let (name, labels, value) = sample(line).map_err(|what| wrong(&what))?;
            belongs(&family, &name, &labels, value).map_err(|what| wrong(&what))?;
            family.has_samples = true;
            sample_names.insert((name.clone(), family.name.clone()));
            if exposition.0.insert((name, labels), value).is_some() {
                return Err(wrong("a series that is there twice"));
            }
        }
    }
    // "Ambiguity": no sample of one family bears the name of another.
    match sample_names.iter().find(|(name, own)| name != own && families.contains(name)) {
        Some((name, _)) => Err(format!("{name} is a family and a sample of another")),
        None => Ok(exposition),
    }
}

fn describe(family: &mut Family, what: &str, rest: &str) -> Result<(), String> {
    if family.has_samples {
        return Err("a description behind samples".into());
    }
    if !is_name(&family.name, true) {
        return Err("no name of a family".into());
    }
    let place = match what {
        "TYPE" if ["counter", "gauge", "info"].contains(&rest) => &mut family.kind,
        "UNIT" if family.name.ends_with(&format!("_{rest}")) => &mut family.unit,
        "HELP" => {
            unescape(rest)?;
            &mut family.help
        }
        _ => return Err("no description".into()),
    };
    if place.replace(rest.to_owned()).is_some() { Err("described twice".into()) } else { Ok(()) }
}

fn belongs(family: &Family, name: &str, labels: &Labels, value: f64) -> Result<(), String> {
    let suffix = name.strip_prefix(&family.name).ok_or("a sample of no family")?;
    if family.help.is_none() {
        return Err("a family without help".into());
    }
    match (family.kind.as_deref(), suffix) {
        (Some("counter"), "_total") if value >= 0.0 && value.is_finite() => Ok(()),
        (Some("gauge"), "") => Ok(()),
        (Some("info"), "_info") if value.to_bits() == 1.0_f64.to_bits() && !labels.is_empty() => {
            Ok(())
        }
        _ => Err("a sample that its family's type does not have".into()),
    }
}

fn is_name(text: &str, colon: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || colon && c == ':';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, true) {
        return Err("no name".into());
    }
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, behind) = rest.split_once("=\"").ok_or("no label")?;
            if !is_name(label, false) || label.starts_with("__") {
                return Err("no name of a label".into());
            }
            let end = closing_quote(behind).ok_or("no end of a label's value")?;
            let value = unescape(&behind[..end])?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err("a label that is there twice".into());
            }
            rest = &behind[end + 1..];
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            rest = rest.strip_prefix(',').ok_or("no comma between labels")?;
        }
    }
    let number = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let plain = number.chars().all(|c| c.is_ascii_digit() || ".-+e".contains(c));
    let value = number.parse().ok().filter(|_| plain).ok_or("no number, or more than one")?;
    Ok((name.to_owned(), labels, value))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => plain.push(match characters.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                _ => return Err("an escape that is none".into()),
            }),
            '"' => return Err("a quote that is not escaped".into()),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

#[test]
fn the_parser_refuses_what_the_rules_forbid() {
    let good =
        "# TYPE a counter\n# HELP a Help.\na_total{b=\"c\",d=\"\\\"\\n\"} 1\na_total 2\n# EOF\n";
    assert_eq!(parse(good).map(|read| read.len()), Ok(2));
    let bad = [
        ("# EOF\n", ""),
        ("a_total 2", "a 2"),
        ("a_total 2", "a_total{b=\"c\",d=\"\\\"\\n\"} 3"),
        ("a_total 2", "a_total  2"),
        ("a_total 2", "a_total -2"),
        ("a_total 2", "a_total 2\n"),
        ("a_total 2", "a_total 2\n# TYPE b gauge\n# HELP b b\nb 1\n# HELP a again"),
        ("a_total 2", "a_total 2\n# TYPE a_total gauge\n# HELP a_total b\na_total 1"),
        ("# HELP a Help.\n", ""),
        ("# TYPE a counter", "# TYPE a number"),
        ("# TYPE a counter", "# TYPE a counter\n# UNIT a seconds"),
        ("b=", "1b="),
        ("\\n", "\\t"),
    ];
    for (from, to) in bad {
        let text = good.replacen(from, to, 1);
        assert!(parse(&text).is_err(), "{text}");
    }
}
