//! The command line: says requests to control's socket, and shows the answers to people or machines.

mod arguments;
mod connection;
mod dos;
mod show;
mod table;
mod tenant;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};

use crate::api::message::{Answer, ArgoRequest, FleetRequest, HopText, PeerText, Request};
use crate::config::{Config, default_socket};
use crate::model::{Book, Limits};
use crate::source::{Directory, Source as _};
use arguments::{
    ArgoCommand, Arguments, Command, DosCommand, FleetCommand, HopCommand, HopKind, PeerCommand,
    RouteCommand, TunnelCommand,
};
use connection::Connection;
use table::Output;

/// How a command fails, each with its exit status.
#[derive(Debug)]
enum Failure {
    /// It was refused, or something is wrong with it: 1.
    Refused(String),
    /// Control does not answer: 3.
    Unreachable(String),
    /// Nobody reads what is printed, as behind `| head`: silently 0.
    Unread,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Unread;
        }
        Self::Refused(format!("cannot print ({error})"))
    }
}

/// The program `millrace`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (code, sentence) = match run(&arguments) {
        Ok(()) | Err(Failure::Unread) => return ExitCode::SUCCESS,
        Err(Failure::Refused(sentence)) => (1, sentence),
        Err(Failure::Unreachable(sentence)) => (3, sentence),
    };
    // There is nobody left to tell when this fails.
    drop(writeln!(io::stderr(), "millrace: {sentence}"));
    ExitCode::from(code)
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut output = Output::new(arguments.json);
    let socket = socket_of(arguments)?;
    let ask = |request: &Request, output: &mut Output| {
        Connection::open(&socket)?.ask(request, |answer| show::answer(answer, output))
    };
    match &arguments.command {
        Command::Completion { shell } => {
            clap_complete::generate(
                *shell,
                &mut Arguments::command(),
                "millrace",
                &mut io::stdout(),
            );
            Ok(())
        }
        Command::Counters { watch, threads } => {
            show::counters(&mut Connection::open(&socket)?, &mut output, *watch, *threads)
        }
        Command::Drops { all, seconds } => {
            let seconds = if seconds.is_nan() { 1.0 } else { *seconds };
            let interval = Duration::from_secs_f64(seconds.clamp(0.01, 3600.0));
            show::drops(&mut Connection::open(&socket)?, &mut output, *all, interval)
        }
        Command::Dos(DosCommand::Events { follow }) => {
            show::dos_events(&mut Connection::open(&socket)?, &mut output, *follow)
        }
        Command::Check { directory } => check(directory, &socket, &mut output),
        command @ (Command::Peer(_)
        | Command::Route(_)
        | Command::NextHop(_)
        | Command::Fleet(_)
        | Command::Dos(_)
        | Command::Tenant(_)
        | Command::Rules(_)
        | Command::Tunnel(_)
        | Command::Argo(_)
        | Command::Status
        | Command::Diff { .. }
        | Command::Apply { .. }) => {
            let request = request(command)?;
            let pending = ask(&request, &mut output)?;
            output.flush()?;
            if pending && !arguments.json {
                let kept = "kept; it waits for a dataplane (see `millrace status`)";
                writeln!(io::stdout(), "{kept}")?;
            }
            Ok(())
        }
    }
}

fn socket_of(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(socket) = &arguments.socket {
        return Ok(socket.clone());
    }
    match &arguments.config {
        Some(path) => Config::read(path)
            .map(|config| config.socket)
            .map_err(|error| Failure::Refused(error.to_string())),
        None => Ok(default_socket(&arguments.instance)),
    }
}

/// The request of a command that is one.
fn request(command: &Command) -> Result<Request, Failure> {
    Ok(match command {
        Command::Peer(command) => peer_request(command)?,
        Command::Route(command) => match command {
            RouteCommand::Add { prefix, next_hop } => {
                Request::RouteAdd { prefix: prefix.clone(), next_hop: next_hop.clone() }
            }
            RouteCommand::Remove { prefix } => Request::RouteRemove { prefix: prefix.clone() },
            RouteCommand::Lookup { address } => Request::RouteLookup { address: *address },
            RouteCommand::List => Request::RouteList,
            RouteCommand::Load { file, replace } => {
                Request::RouteLoad { file: absolute(file)?, replace: *replace }
            }
        },
        Command::NextHop(command) => match command {
            HopCommand::Add { name, kind } => Request::NextHopAdd(hop_text(name, kind)),
            HopCommand::Remove { name } => Request::NextHopRemove { name: name.clone() },
            HopCommand::List => Request::NextHopList,
        },
        Command::Fleet(command) => Request::Fleet { command: fleet_request(command) },
        Command::Dos(command) => Request::Dos { command: dos::request(command)? },
        Command::Tenant(command) => Request::Tenant { command: tenant::request(command)? },
        Command::Rules(command) => Request::Rules { command: tenant::rules_request(command)? },
        Command::Tunnel(TunnelCommand::List) => Request::TunnelList,
        Command::Argo(command) => Request::Argo { command: argo_request(command) },
        Command::Diff { directory } => Request::Diff { directory: absolute(directory)? },
        Command::Apply { directory } => Request::Apply { directory: absolute(directory)? },
        Command::Status
        | Command::Counters { .. }
        | Command::Drops { .. }
        | Command::Check { .. }
        | Command::Completion { .. } => Request::Status,
    })
}

fn argo_request(command: &ArgoCommand) -> ArgoRequest {
    match command {
        ArgoCommand::Show { destination } => ArgoRequest::Show { destination: destination.clone() },
        ArgoCommand::List => ArgoRequest::List,
    }
}

fn fleet_request(command: &FleetCommand) -> FleetRequest {
    match *command {
        FleetCommand::List => FleetRequest::List,
        FleetCommand::Drain { server, deadline } => {
            FleetRequest::Drain { server, deadline_s: deadline.map(|deadline| deadline.as_secs()) }
        }
        FleetCommand::Weight { server, weight } => FleetRequest::Weight { server, weight },
        FleetCommand::Up { server } => FleetRequest::Up { server },
        FleetCommand::Down { server } => FleetRequest::Down { server },
    }
}

fn peer_request(command: &PeerCommand) -> Result<Request, Failure> {
    Ok(match command {
        PeerCommand::Add(add) => Request::PeerAdd(PeerText {
            public_key: add.public_key.clone(),
            name: add.name.clone(),
            preshared_key: match &add.preshared_key_file {
                Some(path) => Some(crate::api::message::Hidden(text_of(path)?)),
                None => None,
            },
            allowed_ips: add.allowed_ips.clone(),
            endpoint: add.endpoint,
            persistent_keepalive: add.persistent_keepalive,
            client_id: add.client_id.clone(),
        }),
        PeerCommand::Remove { peer } => Request::PeerRemove { peer: peer.clone() },
        PeerCommand::List => Request::PeerList,
        PeerCommand::Show { peer } => Request::PeerShow { peer: peer.clone() },
    })
}

fn hop_text(name: &str, kind: &HopKind) -> HopText {
    let text = HopText { name: name.to_owned(), ..HopText::default() };
    match kind {
        HopKind::Local => HopText { kind: "local".into(), ..text },
        HopKind::Reject => HopText { kind: "reject".into(), ..text },
        HopKind::Direct => HopText { kind: "direct".into(), ..text },
        HopKind::Client { peer } => {
            HopText { kind: "client".into(), peer: Some(peer.clone()), ..text }
        }
        HopKind::Gre { local, remote, key, checksum } => HopText {
            kind: "gre".into(),
            local: Some(*local),
            remote: Some(*remote),
            key: *key,
            checksum: *checksum,
            ..text
        },
        HopKind::Via { centre, remote } => {
            HopText { kind: "via".into(), centre: Some(centre.clone()), remote: *remote, ..text }
        }
        HopKind::Argo { exits } => HopText { kind: "argo".into(), exits: exits.clone(), ..text },
    }
}

fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        Failure::Refused(format!("{path}: cannot be read ({error}); name a readable file"))
    })
}

/// Control may stand elsewhere.
fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path)
        .map_err(|error| Failure::Refused(format!("{}: is no path ({error})", path.display())))?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::Refused(format!("{}: is not UTF-8", path.display())))
}

/// Checks a directory: against what control has if it answers, else by itself.
fn check(directory: &Path, socket: &Path, output: &mut Output) -> Result<(), Failure> {
    match Connection::open(socket) {
        Ok(mut connection) => {
            let request = Request::Check { directory: absolute(directory)? };
            connection.ask(&request, |answer| show::answer(answer, output))?;
        }
        Err(Failure::Unreachable(_)) => {
            let shown = check_alone(directory).map_err(Failure::Refused)?;
            show::answer(Answer::Difference(shown), output)?;
            if !output.is_json() {
                output.line("checked by itself: control does not answer")?;
            }
        }
        Err(failure) => return Err(failure),
    }
    Ok(output.flush()?)
}

fn check_alone(directory: &Path) -> Result<crate::api::message::DifferenceShown, String> {
    let checked = || {
        let declaration = Directory::new(directory.to_owned()).read()?;
        let mut book = Book::default();
        book.declare(declaration, &Limits::default())?;
        Ok(book.declared())
    };
    let declared = checked().map_err(|refused: crate::model::Refused| refused.to_string())?;
    let counts = [declared.peers, declared.routes, declared.next_hops];
    let rules = [declared.rules, declared.tenants];
    Ok(crate::api::message::DifferenceShown {
        declared: counts,
        declared_rules: rules,
        declared_tunnels: declared.tunnels,
        lines: Vec::new(),
        changes: counts.iter().chain(&rules).sum::<usize>() + declared.tunnels,
    })
}
