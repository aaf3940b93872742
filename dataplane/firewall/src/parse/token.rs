//! The text, cut into words and signs.

use super::Fault;

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A word or a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A name, a number or an address.
    Word(&'a str),
    /// Text between quotes.
    Text(&'a str),
    /// The name of a set, behind its `@`.
    Set(&'a str),
    Open,
    Close,
    Left,
    Right,
    Comma,
    Dash,
    Slash,
    And,
    Or,
    Not,
    Compare(Compare),
    /// The end of a rule.
    End,
    /// The end of the text.
    Finish,
    /// A quote without another one on its line.
    Unclosed,
    /// What begins nothing.
    Strange(char),
}

/// The text's tokens, the next of which can be looked at.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    token: Token<'a>,
    /// Where the token begins, and where what is behind it does, in octets.
    begin: usize,
    behind: usize,
    /// Inside of braces the end of a line is a blank.
    in_braces: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut tokens = Self { text, token: Token::Finish, begin: 0, behind: 0, in_braces: false };
        tokens.advance();
        tokens
    }

    pub(crate) const fn peek(&self) -> Token<'a> {
        self.token
    }

    /// The token, if it is a word.
    pub(crate) const fn word(&self) -> Option<&'a str> {
        if let Token::Word(word) = self.token { Some(word) } else { None }
    }

    pub(crate) const fn begin(&self) -> usize {
        self.begin
    }

    /// The token, which is then behind.
    pub(crate) fn take(&mut self) -> Token<'a> {
        let token = self.token;
        self.advance();
        token
    }

    /// Whether it is this token, which is then behind.
    pub(crate) fn take_if(&mut self, token: Token<'_>) -> bool {
        let is_it = self.token == token;
        if is_it {
            self.advance();
        }
        is_it
    }

    pub(crate) const fn at_end(&self) -> bool {
        matches!(self.token, Token::End | Token::Finish)
    }

    /// What is wrong with the token, when another was expected.
    pub(crate) fn expected(&self, what: &str) -> Fault {
        let found = if self.at_end() {
            "the end of the rule".to_owned()
        } else if let Token::Text(_) = self.token {
            "a text in quotes".to_owned()
        } else if self.token == Token::Unclosed {
            return self.fault("the quote is not closed: write `\"` at its end");
        } else if self.token == Token::Strange('$') {
            return self.fault("variables are unknown here: write the value");
        } else if let Token::Strange(sign) = self.token {
            format!("{sign:?}")
        } else {
            format!("`{}`", shown(self.text.get(self.begin..self.behind).unwrap_or_default()))
        };
        self.fault(&format!("expected {what}, found {found}"))
    }

    pub(crate) fn fault(&self, what: &str) -> Fault {
        Fault { at: self.begin, what: what.to_owned() }
    }

    fn advance(&mut self) {
        self.skip_blanks();
        self.begin = self.behind;
        let (token, len) = self.scan();
        self.in_braces = token == Token::Open || self.in_braces && token != Token::Close;
        self.token = token;
        self.behind += len;
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.behind..).unwrap_or_default()
    }

    /// Skips blanks, comments, line ends behind `\`, and in braces all line ends.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            self.behind += match rest.as_bytes() {
                [b' ' | b'\t' | b'\r', ..] => 1,
                [b'\n', ..] if self.in_braces => 1,
                [b'#', ..] => rest.find('\n').unwrap_or(rest.len()),
                [b'\\', behind @ ..] => match line_end(behind) {
                    Some(len) => 1 + len,
                    None => return,
                },
                _ => return,
            };
        }
    }

    /// The token that begins what is left, and its length.
    fn scan(&self) -> (Token<'a>, usize) {
        let rest = self.rest();
        let token = match rest.as_bytes() {
            [] => return (Token::Finish, 0),
            [b'"', ..] => return quoted(rest),
            [b'@', ..] => return set(rest),
            [b'=', b'=', ..] => return (Token::Compare(Compare::Equal), 2),
            [b'!', b'=', ..] => return (Token::Compare(Compare::Unequal), 2),
            [b'<', b'=', ..] => return (Token::Compare(Compare::LessEqual), 2),
            [b'>', b'=', ..] => return (Token::Compare(Compare::GreaterEqual), 2),
            [b'<', ..] => Token::Compare(Compare::Less),
            [b'>', ..] => Token::Compare(Compare::Greater),
            [b'!', ..] => Token::Not,
            [b'{', ..] => Token::Open,
            [b'}', ..] => Token::Close,
            [b'(', ..] => Token::Left,
            [b')', ..] => Token::Right,
            [b',', ..] => Token::Comma,
            [b'-', ..] => Token::Dash,
            [b'/', ..] => Token::Slash,
            [b'&', ..] => Token::And,
            [b'|', ..] => Token::Or,
            [b'\n' | b';', ..] => Token::End,
            [octet, ..] if is_of_word(*octet) => return word(rest),
            _ => {
                let sign = rest.chars().next().unwrap_or_default();
                return (Token::Strange(sign), sign.len_utf8());
            }
        };
        (token, 1)
    }
}

/// So much of a word as fits into a message.
pub(crate) fn shown(word: &str) -> &str {
    word.get(..48).unwrap_or(word)
}

const fn is_of_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.' | b':')
}

/// A word. Names may hold dashes; behind a number or an address a dash makes a range.
fn word(rest: &str) -> (Token<'_>, usize) {
    let octets = rest.as_bytes();
    let mut len = 0;
    let mut may_hold_dash = octets.first().is_some_and(u8::is_ascii_alphabetic);
    while let Some([octet, behind @ ..]) = octets.get(len..) {
        let is_dash = *octet == b'-' && behind.first().is_some_and(u8::is_ascii_alphabetic);
        if !(is_of_word(*octet) || is_dash && may_hold_dash) {
            break;
        }
        may_hold_dash &= *octet != b':';
        len += 1;
    }
    let token = match rest.get(..len).unwrap_or_default() {
        "eq" => Token::Compare(Compare::Equal),
        "ne" => Token::Compare(Compare::Unequal),
        "lt" => Token::Compare(Compare::Less),
        "le" => Token::Compare(Compare::LessEqual),
        "gt" => Token::Compare(Compare::Greater),
        "ge" => Token::Compare(Compare::GreaterEqual),
        "and" => Token::And,
        "or" => Token::Or,
        word => Token::Word(word),
    };
    (token, len)
}

/// The name of a set; empty when there is none.
fn set(rest: &str) -> (Token<'_>, usize) {
    let octets = rest.as_bytes().iter().skip(1);
    let is_of_name =
        |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'.' | b'-' | b'/');
    let len = 1 + octets.take_while(is_of_name).count();
    (Token::Set(rest.get(1..len).unwrap_or_default()), len)
}

/// What is between two quotes on one line.
fn quoted(rest: &str) -> (Token<'_>, usize) {
    let inside = rest.get(1..).unwrap_or_default();
    let Some((len, '"')) = inside.char_indices().find(|(_, sign)| matches!(sign, '"' | '\n'))
    else {
        return (Token::Unclosed, 1);
    };
    (Token::Text(inside.get(..len).unwrap_or_default()), len + 2)
}

/// The length of blanks and the line end, when there is nothing else behind a `\`.
fn line_end(behind: &[u8]) -> Option<usize> {
    let blanks = behind.iter().take_while(|octet| matches!(octet, b' ' | b'\t' | b'\r')).count();
    (behind.get(blanks) == Some(&b'\n')).then_some(blanks + 1)
}
