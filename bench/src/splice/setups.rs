//! How many connections a whole worker begins in a second, of each kind in turn.

use results::{Cell, Column, Figure, Section, Table};

use super::ends::Role;
use super::opening::Manner;
use super::servers::{Kind, TOGETHER, by_server, keeper};
use crate::Failure;
use crate::machine::Conditions;
use crate::sample::{p10, per_packet};
use crate::service::server::Server;
use crate::turns::{Setting, Timing};

const KINDS: [(&str, Kind); 4] = [
    ("ingress, in the SYN (M0)", (Role::Ingress, Manner::Borne)),
    ("exit, in the SYN (M0)", (Role::Exit, Manner::Borne)),
    ("ingress, behind the SYN (M1)", (Role::Ingress, Manner::Plain)),
    ("exit, behind the SYN (M2)", (Role::Exit, Manner::Plain)),
];

/// Connections of one block.
const BLOCK: u32 = 4 * TOGETHER;

/// Blocks of every kind, in cycles for each connection.
#[derive(Debug)]
pub(crate) struct Setups(Vec<(&'static str, Vec<f64>)>);

/// Begins connections at servers of every kind, block by block in turn. None of them ends meanwhile.
pub(super) fn measure(setting: &Setting, timing: &Timing) -> Result<Setups, Failure> {
    let (warm_up, count) = timing.rounds();
    let flows = u32::try_from(count)? * BLOCK;
    let mut servers = Vec::new();
    for (number, (_, kind)) in KINDS.iter().enumerate() {
        let mut keeper = keeper(*kind, flows)?;
        servers.push(Server::start(
            &setting.eal,
            &setting.pool,
            &mut keeper,
            &format!("s{number}"),
        )?);
    }
    let mut setups = Setups(KINDS.map(|(name, _)| (name, Vec::new())).into());
    for block in 0..count {
        let first = u32::try_from(block)? * BLOCK;
        for ((server, (_, kind)), (_, blocks)) in servers.iter_mut().zip(KINDS).zip(&mut setups.0) {
            let mut taken = 0;
            for first in (first..first + BLOCK).step_by(TOGETHER as usize) {
                taken += by_server(server, kind, (first, TOGETHER))?.1;
            }
            if block >= warm_up {
                blocks.push(per_packet(taken, BLOCK.into()));
            }
        }
    }
    servers.iter().try_for_each(|server| check(server, flows))?;
    Ok(setups)
}

/// Figures of a run that lost or dropped something, or failed to connect, are of no use.
fn check(server: &Server, flows: u32) -> Result<(), Failure> {
    server.check()?;
    let totals = server.totals();
    if (totals.connects_opened, totals.connects_failed) != (flows.into(), 0) {
        return Err(format!("connections failed:\n{totals}").into());
    }
    Ok(())
}

/// Connections a second that were wanted at least of those whose request lies in the SYN.
const WANTED: f64 = 200_000.0;

impl Setups {
    /// Their table.
    pub(super) fn section(&self, conditions: &Conditions) -> Section {
        let columns = [
            Column::label("kind"),
            Column::of("ns", "ns", 0),
            Column::of("median", "ns", 0),
            Column::of("a second", "1/s", 0),
        ];
        let mut table = Table::new("", columns);
        for ((name, blocks), (_, (_, manner))) in self.0.iter().zip(KINDS) {
            let ns = conditions.all_ns(blocks);
            let rate = Figure::single(1e9 / p10(&ns));
            let borne = matches!(manner, Manner::Borne);
            table.row([
                Cell::from(*name),
                Figure::p10(&ns).lower().into(),
                Figure::also(&ns, 0.5).into(),
                if borne { rate.at_least(WANTED) } else { rate }.into(),
            ]);
        }
        Section::new("Connections begun").table(table)
    }
}
