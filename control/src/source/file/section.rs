//! The sections of one file: from their shape to what they mean, with the line of everything that is wrong.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use toml::{Spanned, Value};
use wireguard::message::ClientId;
use wireguard::secret::Secret;
use zeroize::Zeroizing;

use super::centre::CentreSection;
use super::dos::{DosSection, TenantSection};
use super::fleet::FleetSection;
use super::{table, text_of};
use crate::model::{
    Cause, Declaration, Fleet, Hop, HopNamed, Origin, Peer, Place, PublicKey, Refused, RouteTo, key,
};

/// Sections that are parsed at a time: what a parser holds beside the text is then small, however many there are.
const SECTIONS_PER_PART: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    #[serde(default)]
    peer: Vec<PeerSection>,
    #[serde(default)]
    centre: Vec<CentreSection>,
    #[serde(default)]
    next_hop: Vec<Spanned<HopSection>>,
    #[serde(default)]
    route: Vec<RouteSection>,
    #[serde(default)]
    table: Vec<TableSection>,
    fleet: Option<FleetSection>,
    #[serde(default)]
    dos: DosSection,
    #[serde(default)]
    tenant: Vec<TenantSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerSection {
    name: Option<String>,
    public_key: Spanned<String>,
    preshared_key: Option<Spanned<Zeroizing<String>>>,
    preshared_key_file: Option<Spanned<String>>,
    #[serde(default)]
    allowed_ips: Vec<Spanned<String>>,
    endpoint: Option<Spanned<SocketAddr>>,
    persistent_keepalive: Option<u16>,
    client_id: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HopSection {
    name: String,
    kind: Spanned<String>,
    peer: Option<Spanned<String>>,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    key: Option<u32>,
    checksum: Option<bool>,
    pub(super) centre: Option<Spanned<Value>>,
    pub(super) exits: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSection {
    pub(super) prefix: Spanned<String>,
    pub(super) next_hop: Option<String>,
    pub(super) exits: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableSection {
    file: Spanned<String>,
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) declaration: Declaration,
    names: HashMap<String, Arc<str>>,
    /// Choices of exits that routes name.
    pub(super) choices: BTreeMap<String, HopNamed>,
    /// Next hops whose peer is given by its name, which may stand in a later file.
    to_named: Vec<(usize, String, String)>,
    /// The file and place of the fleet.
    fleet: Option<(PathBuf, String)>,
}

/// A part of a file, so that every error can say where.
pub(super) struct Part<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// The line before the part.
    line: usize,
    /// Where the lines of the part end.
    ends: Vec<usize>,
    /// The number of the file in the declaration.
    file: u16,
}

impl Reading {
    /// Reads a file.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), Refused> {
        self.text(path, &Zeroizing::new(text_of(path)?))
    }

    /// Reads a text as that of a file.
    pub(super) fn text(&mut self, path: &Path, text: &str) -> Result<(), Refused> {
        let file = self.number(path)?;
        let mut line = 0;
        for text in parts(text) {
            let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
            let next = line + ends.len();
            self.part(&Part { path, text, line, ends, file })?;
            line = next;
        }
        Ok(())
    }

    /// The file with the fleet, and the fleet.
    pub(super) fn fleet_file(self) -> Option<(PathBuf, Fleet)> {
        let (path, _) = self.fleet?;
        Some((path, self.declaration.fleet?))
    }

    /// All that was read.
    pub(super) fn finish(mut self) -> Result<Declaration, Refused> {
        self.add_choices();
        let wanted: HashSet<&str> = self.to_named.iter().map(|(_, name, _)| &**name).collect();
        let peers = self.declaration.peers.iter().filter_map(|peer| {
            let name = peer.name.as_deref().filter(|name| wanted.contains(name))?;
            Some((name.to_owned(), peer.public_key))
        });
        let named: HashMap<String, PublicKey> = peers.collect();
        for (at, name, place) in self.to_named {
            let Some(key) = named.get(&name) else {
                let what = format!("peer: there is no peer {name}; name one, or give its key");
                return Err(Refused::new(Cause::Unknown, what).at(place));
            };
            if let Some(hop) = self.declaration.next_hops.get_mut(at) {
                hop.hop = Hop::Client(*key);
            }
        }
        Ok(self.declaration)
    }

    /// The place of something that was read before.
    pub(super) fn place_of(&self, origin: Origin) -> String {
        let Origin::Declared(Place { file, line }) = origin else { return String::new() };
        let file = self.declaration.files.get(usize::from(file));
        format!("{}:{line}", file.map_or("", String::as_str))
    }

    pub(super) fn number(&mut self, path: &Path) -> Result<u16, Refused> {
        let number = u16::try_from(self.declaration.files.len()).map_err(|_| {
            Refused::new(Cause::Full, "more than 65536 files; put more into each")
                .at(path.display().to_string())
        })?;
        self.declaration.files.push(path.display().to_string());
        Ok(number)
    }

    fn part(&mut self, part: &Part<'_>) -> Result<(), Refused> {
        let sections: Sections = toml::from_str(part.text)
            .map_err(|error| part.error(&error.span().unwrap_or(0..0), error.message()))?;
        for section in sections.peer {
            self.declaration.peers.push(part.peer(section)?);
        }
        if let Some(section) = sections.fleet {
            self.fleet(part, &section)?;
        }
        self.dos(part, sections.dos)?;
        for section in &sections.tenant {
            self.tenant(part, section)?;
        }
        for section in &sections.centre {
            self.declaration.centres.push(part.centre(section)?);
        }
        for section in sections.next_hop {
            let span = section.span();
            self.next_hop(part, &span, section.into_inner())?;
        }
        for section in sections.route {
            let prefix = part.prefix(&section.prefix)?;
            let next_hop = self.route_to(part, &section)?;
            let origin = part.origin(&section.prefix.span());
            self.declaration.routes.push(RouteTo { prefix, next_hop, origin });
        }
        for section in sections.table {
            let path = part.path.with_file_name(section.file.get_ref());
            let text = text_of(&path)
                .map_err(|refused| part.error(&section.file.span(), &format!("table {refused}")))?;
            let file = self.number(&path)?;
            let routes = &mut self.declaration.routes;
            table::read(&text, &path, file, routes)?;
        }
        Ok(())
    }

    fn fleet(&mut self, part: &Part<'_>, section: &FleetSection) -> Result<(), Refused> {
        let fleet = part.fleet(section)?;
        let place = part.place_of(fleet.origin);
        if let Some((_, first)) = &self.fleet {
            let what = format!("a second [fleet]; the first is in {first}; keep one of them");
            return Err(Refused::new(Cause::Conflict, what).at(place));
        }
        self.fleet = Some((part.path.to_owned(), place));
        self.declaration.fleet = Some(fleet);
        Ok(())
    }

    /// One name for all that are alike.
    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.names.insert(name.to_owned(), Arc::clone(&new));
        new
    }

    fn next_hop(
        &mut self,
        part: &Part<'_>,
        span: &Range<usize>,
        section: HopSection,
    ) -> Result<(), Refused> {
        let name = self.name(&section.name);
        let kind = section.kind.get_ref().as_str();
        let need =
            |field: &str| part.error(span, &format!("a next hop of kind {kind} needs {field}"));
        let address = |address: Option<IpAddr>, field| address.ok_or_else(|| need(field));
        let hop = match kind {
            "local" => Hop::Local,
            "reject" => Hop::Reject,
            "direct" => Hop::Direct,
            "client" => {
                let peer = section.peer.ok_or_else(|| need("peer"))?;
                if let Some(octets) = key::decode(peer.get_ref()) {
                    Hop::Client(PublicKey(octets))
                } else {
                    let place = part.place(&peer.span());
                    let at = self.declaration.next_hops.len();
                    self.to_named.push((at, peer.into_inner(), place));
                    // Until all files are read.
                    Hop::Reject
                }
            }
            "gre" => Hop::Gre {
                local: address(section.local, "local")?,
                remote: address(section.remote, "remote")?,
                key: section.key,
                checksum: section.checksum.unwrap_or(false),
            },
            "via" | "argo" => {
                let hop = part.exits((span, kind), (name, section.remote), &section)?;
                self.declaration.next_hops.push(hop);
                return Ok(());
            }
            other => {
                let what = format!(
                    "\"{other}\" is no kind; take local, reject, client, gre, direct, via or argo"
                );
                return Err(part.error(&section.kind.span(), &what));
            }
        };
        let origin = part.origin(span);
        self.declaration.next_hops.push(HopNamed::new(name, hop, origin));
        Ok(())
    }
}

impl Part<'_> {
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.line + self.ends.partition_point(|end| *end < span.start) + 1
    }

    pub(super) fn place(&self, span: &Range<usize>) -> String {
        format!("{}:{}", self.path.display(), self.line(span))
    }

    fn place_of(&self, origin: Origin) -> String {
        match origin {
            Origin::Declared(Place { line, .. }) => format!("{}:{line}", self.path.display()),
            Origin::Cli | Origin::Uapi | Origin::Registration | Origin::Detection => {
                self.path.display().to_string()
            }
        }
    }

    /// A file that is named here.
    pub(super) fn beside(&self, name: &Path) -> PathBuf {
        self.path.with_file_name(name)
    }

    pub(super) fn origin(&self, span: &Range<usize>) -> Origin {
        let line = u32::try_from(self.line(span)).unwrap_or(u32::MAX);
        Origin::Declared(Place { file: self.file, line })
    }

    pub(super) fn error(&self, span: &Range<usize>, what: &str) -> Refused {
        Refused::new(Cause::Invalid, what).at(self.place(span))
    }

    fn peer(&self, section: PeerSection) -> Result<Peer, Refused> {
        let span = section.public_key.span();
        let public_key = key::decode(section.public_key.get_ref()).ok_or_else(|| {
            let what = "public_key is not base64 of 32 octets; `wg pubkey` prints such keys";
            self.error(&span, what)
        })?;
        let nets: Result<Vec<IpNet>, Refused> =
            section.allowed_ips.iter().map(|text| self.prefix(text)).collect();
        let client_id = match &section.client_id {
            Some(id) => key::decode(id.get_ref()).ok_or_else(|| {
                self.error(
                    &id.span(),
                    "client_id is not base64 of 3 octets; `millrace` prints such",
                )
            })?,
            None => [0; 3],
        };
        Ok(Peer {
            public_key: PublicKey(public_key),
            name: section.name.as_deref().map(Into::into),
            preshared_key: self.preshared_key(&section)?,
            client_id: ClientId(client_id),
            endpoint: section.endpoint.map(Spanned::into_inner),
            persistent_keepalive: section.persistent_keepalive.unwrap_or(0),
            allowed_ips: nets?.into(),
            origin: self.origin(&span),
        })
    }

    /// A prefix, or an address alone.
    pub(super) fn prefix(&self, text: &Spanned<String>) -> Result<IpNet, Refused> {
        let literal = text.get_ref();
        let net = literal
            .parse::<IpNet>()
            .or_else(|_| literal.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| {
                let what = format!("\"{literal}\" is no IP address or prefix such as 10.7.0.2/32");
                self.error(&text.span(), &what)
            })?;
        if net != net.trunc() {
            let what = format!("{net} has bits behind its prefix; write {}", net.trunc());
            return Err(self.error(&text.span(), &what));
        }
        Ok(net)
    }

    /// A key from the text or from a file beside it.
    fn preshared_key(&self, section: &PeerSection) -> Result<Option<Box<Secret>>, Refused> {
        let (span, text) = match (&section.preshared_key, &section.preshared_key_file) {
            (None, None) => return Ok(None),
            (Some(_), Some(file)) => {
                let what = "preshared_key_file beside preshared_key: keep one of the two";
                return Err(self.error(&file.span(), what));
            }
            (Some(text), None) => (text.span(), text.get_ref().clone()),
            (None, Some(file)) => {
                let path = self.path.with_file_name(file.get_ref());
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    let what = format!("key file {} cannot be read ({error})", path.display());
                    self.error(&file.span(), &what)
                })?;
                (file.span(), Zeroizing::new(text))
            }
        };
        let octets = key::decode(&text).ok_or_else(|| {
            let what = "preshared_key is not base64 of 32 octets; `wg genpsk` makes such keys";
            self.error(&span, what)
        })?;
        Ok(Some(Box::new(Secret::new(octets))))
    }
}

/// Cuts a text before sections, so that each part has a bounded number of them; those of the fleet are bounded anyway,
/// and belong together, as do a tenant and its tunnels.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut left = text;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let heads = left.match_indices("\n[[").map(|(at, _)| at + 1);
        let is_of_one = |at: &usize| {
            let head = left.get(*at..).unwrap_or_default();
            head.starts_with("[[fleet.") || head.starts_with("[[tenant.")
        };
        let mut heads = heads.filter(|at| !is_of_one(at));
        let end = heads.nth(SECTIONS_PER_PART).unwrap_or(left.len());
        let (part, rest) = left.split_at(end);
        left = rest;
        Some(part)
    })
}
