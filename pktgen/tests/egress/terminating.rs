//! Connections that the server's own kernel terminates: its service, and the interface between it and the dataplane.

use std::net::{IpAddr, SocketAddr};

use crate::lab::control::{CONFIG, program};
use crate::lab::dataplane::Dataplane;
use crate::lab::process::Process;
use crate::lab::until;
use crate::site::{GATEWAY, SERVER, Site};

/// The kernel's addresses on the interface, and the dataplane's.
const KERNELS: [&str; 2] = ["100.64.77.2", "fd64::2"];
const OURS: [&str; 2] = ["100.64.77.1", "fd64::1"];
const PORT: u16 = 3001;

const SECTION: &str =
    "[terminate]\ninterface = \"term0\"\naddresses = [\"100.64.77.1/24\", \"fd64::1/64\"]\n";

impl Site {
    /// Dataplane, control and service. Connections to these prefixes are terminated, and asked for at this address: in the
    /// clear, or as `tls` says.
    pub(crate) fn serve_terminating(
        &self,
        prefixes: &[&str],
        (address, tls): (&str, &str),
    ) -> (Dataplane, Process) {
        let machines = KERNELS.map(|address| {
            let address: IpAddr = address.parse().unwrap();
            SocketAddr::new(address, PORT).to_string()
        });
        let route =
            |prefix| format!("[[route]]\nprefix = \"{prefix}\"\nnext_hop = \"terminated\"\n");
        let routes: String = prefixes.iter().map(route).collect();
        let routes = format!(
            "[[centre]]\nname = \"partner\"\nnumber = 9\nmachines = {machines:?}\n\
             [[next_hop]]\nname = \"terminated\"\nkind = \"via\"\ncentre = \"partner\"\n{routes}"
        );
        let mut server = self.start_with_port(1, (SECTION, "kernel = \"wan0\"\n"), &routes);
        self.give_the_kernel_its_addresses();
        let service = self.service((address, tls));
        // Control is told where the service's counts are, as by an operator who adds it.
        let config = CONFIG.replace("INSTANCE", &server.instance);
        let watch = "[terminate]\nsocket = \"terminate.sock\"\n";
        self.server.file(
            "control.toml",
            &config.replacen("[wireguard]", &format!("{watch}[wireguard]"), 1),
        );
        server.control.take().unwrap().stop();
        server.control = Some(self.control_again());
        (server, service)
    }

    fn give_the_kernel_its_addresses(&self) {
        let server = &self.server;
        server.run("sysctl -qw net.ipv6.conf.wan0.disable_ipv6=1");
        server.run(&format!("ip addr add {SERVER}/24 dev wan0"));
        server.run("ip link set wan0 up");
        server.run(&format!("ip route add default via {GATEWAY}"));
        server.run(&format!("ip addr add {}/24 dev term0", KERNELS[0]));
        server.run(&format!("ip addr add {}/64 dev term0 nodad", KERNELS[1]));
        server.run("ip link set term0 up");
    }

    /// The service that asks this next hop.
    pub(crate) fn service(&self, (address, tls): (&str, &str)) -> Process {
        let config = self.server.file(
            "terminate.toml",
            &format!(
                "interface = \"term0\"\naddresses = {KERNELS:?}\nfrom = [\"{}/32\", \"{}/128\"]\n\
                 socket = \"terminate.sock\"\n\
                 [[next_hop]]\nname = \"partner\"\nport = {PORT}\naddress = \"{address}\"\n{tls}",
                OURS[0], OURS[1]
            ),
        );
        let mut command = self.server.command(&program("millrace-terminate"));
        command.args(["--config", &config]).env("RUST_LOG", "debug");
        let mut service = Process::start("millrace-terminate", command);
        until("the service is ready", 20, || {
            let ended = service.ended();
            assert!(ended.is_none(), "the service ended early: {ended:?}");
            service.output().iter().any(|line| line == "ready")
        });
        service
    }
}
