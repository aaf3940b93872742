//! The words that name a field, and what nft has beyond them.

use super::Fault;
use super::token::{Token, Tokens, shown};
use crate::names::words;
use crate::rules::Field;

const IP: &[Field] =
    &[Field::IpSaddr, Field::IpDaddr, Field::IpProtocol, Field::IpLength, Field::IpDscp];
const IP6: &[Field] = &[Field::Ip6Saddr, Field::Ip6Daddr, Field::Ip6Nexthdr, Field::Ip6Dscp];
const META: &[Field] = &[Field::L4proto, Field::Nfproto, Field::Length];
const TCP: &[Field] = &[Field::TcpSport, Field::TcpDport, Field::TcpFlags];
const UDP: &[Field] = &[Field::UdpSport, Field::UdpDport];
const TH: &[Field] = &[Field::ThSport, Field::ThDport];
const ICMP: &[Field] = &[Field::IcmpType, Field::IcmpCode];
const ICMPV6: &[Field] = &[Field::Icmpv6Type, Field::Icmpv6Code];

const NO_PAYLOAD: &str = "octets by their place are not seen, and a set stands behind what is looked for in it: write \
                          for example `ip saddr @name`";

/// Reads the two words of a field; the first is known to be a word.
pub(crate) fn read(tokens: &mut Tokens<'_>) -> Result<Field, Fault> {
    let at = tokens.begin();
    if let Token::Set(_) = tokens.peek() {
        return Err(tokens.fault(NO_PAYLOAD));
    }
    let Some(first) = tokens.word() else {
        return Err(tokens.expected("a condition or a statement"));
    };
    let fields = match first {
        "ip" => IP,
        "ip6" => IP6,
        "meta" => META,
        "tcp" => TCP,
        "udp" => UDP,
        "th" => TH,
        "icmp" => ICMP,
        "icmpv6" => ICMPV6,
        other => return Err(Fault { at, what: unknown(other) }),
    };
    tokens.take();
    let Some(second) = tokens.word() else { return Err(tokens.expected(&choice(fields))) };
    let Some(field) = fields.iter().find(|field| second_word(**field) == second) else {
        return Err(tokens.fault(&missing(first, second, fields)));
    };
    tokens.take();
    Ok(*field)
}

fn second_word(field: Field) -> &'static str {
    words(field).split_once(' ').map_or("", |(_, second)| second)
}

/// The second words that there are.
fn choice(fields: &[Field]) -> String {
    let names = fields.iter().map(|field| format!("`{}`", second_word(*field)));
    names.collect::<Vec<String>>().join(" or ")
}

/// Why there is no such field.
fn missing(first: &str, second: &str, fields: &[Field]) -> String {
    let instead = match (first, second) {
        ("ip6" | "udp", "length") => {
            "write `meta length`, which counts from the IP header on".into()
        }
        ("ip6", "protocol") => "write `ip6 nexthdr` or `meta l4proto`".into(),
        ("ip", "nexthdr") => "write `ip protocol` or `meta l4proto`".into(),
        ("ip" | "ip6", "version") | ("meta", "protocol") => "write `meta nfproto`".into(),
        ("ip", "frag-off") => "fragments are put together before rules see them".into(),
        ("tcp" | "udp" | "th", "port") => "write `sport` or `dport`".into(),
        _ => format!("write {}", choice(fields)),
    };
    format!("`{first} {}` is not among what rules see here: {instead}", shown(second))
}

/// Why nothing begins with this word.
fn unknown(word: &str) -> String {
    let instead = match word {
        "reject" => "packets are dropped without an answer: write `drop`",
        "log" | "nflog" => "packets are not logged: write `counter`",
        "queue" => "there is no program to ask: write `accept` or `drop`",
        "jump" | "goto" | "return" | "continue" => {
            "there are no chains, and a rule without a verdict goes on to the next one: write the \
             rules one below the other"
        }
        "ct" | "conntrack" => {
            "connections are not followed, since answers do not come this way: write `tcp flags`"
        }
        "snat" | "dnat" | "masquerade" | "redirect" | "nat" | "tproxy" => {
            "addresses are not changed: write `accept` or `drop`"
        }
        "iif" | "iifname" | "oif" | "oifname" | "iifgroup" | "oifgroup" | "fib" | "rt" => {
            "rules see no interfaces and no routes: write `ip saddr` or `ip daddr`"
        }
        "sctp" | "dccp" | "udplite" => {
            "write `meta l4proto` with the protocol, and `th sport` or `th dport`"
        }
        "l4proto" | "nfproto" | "length" => "write `meta` in front of it",
        "saddr" | "daddr" => "write `ip` or `ip6` in front of it",
        "sport" | "dport" => "write `tcp`, `udp` or `th` in front of it",
        "ether" | "vlan" | "arp" => "rules see packets from the IP header on: write `ip` or `ip6`",
        "frag" | "hbh" | "dst" | "srh" | "mh" | "exthdr" => {
            "extension headers are not seen: write `ip6 nexthdr` for the protocol behind them"
        }
        "esp" | "ah" | "comp" | "gre" | "igmp" => "write `meta l4proto` with the protocol",
        "table" | "chain" | "add" | "insert" | "delete" | "flush" | "type" | "hook" | "rule" => {
            "a tenant has one chain: write its rules alone, one on each line"
        }
        "set" | "map" | "vmap" | "define" | "include" => {
            "sets are made beside the rules and named as `@name`; maps there are none: write \
             several rules"
        }
        "quota" => "there are no quotas: write `limit`",
        "meter" | "update" => {
            "rules do not fill sets: write `limit`, which is for all packets of the rule together"
        }
        "dup" | "fwd" | "mark" | "notrack" | "synproxy" | "flow" | "last" => {
            "rules only accept, drop, count and limit"
        }
        _ => {
            return format!(
                "`{}` begins neither a condition nor a statement: write for example `ip saddr`, \
                 `tcp dport`, `meta l4proto`, `counter`, `limit`, `accept` or `drop`",
                shown(word)
            );
        }
    };
    format!("`{word}` is not to be had here: {instead}")
}
