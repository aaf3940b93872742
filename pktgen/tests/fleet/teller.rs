//! Interim: tells fleets straight into shared memory.

use std::path::Path;
use std::time::{Duration, SystemTime};

use shm::attach;
use shm::message::{Event, Fleet, Item, Member, MemberState, Past, Scope};
use shm::transaction::Writer;

use super::router::Subnet;
use super::site::{Server, Site};
use crate::lab::until;

pub(crate) struct Teller {
    generation: u16,
    past: Vec<Past>,
    pub(crate) members: Vec<Member>,
}

pub(crate) fn member(server: u8, weight: u16) -> Member {
    let v4 = Some(Subnet(server).v4(1).parse().unwrap());
    let v6 = Some(Subnet(server).v6(1).parse().unwrap());
    Member { server, weight, state: MemberState::Active, v4, v6 }
}

pub(crate) fn within(secs: u64) -> MemberState {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    MemberState::Draining { deadline: Some(Duration::from_secs(now.as_secs() + secs)) }
}

impl Teller {
    pub(crate) fn new() -> Self {
        Self { generation: 0, past: Vec::new(), members: Vec::new() }
    }

    pub(crate) fn change(&mut self, site: &Site, change: impl FnOnce(&mut Vec<Member>)) {
        if self.generation > 0 {
            let weights = self.members.iter().filter(|m| m.state == MemberState::Active);
            let weights = weights.map(|m| (m.server, m.weight)).collect();
            self.past.insert(0, Past { generation: self.generation, weights });
        }
        self.generation += 1;
        change(&mut self.members);
        for member in &self.members {
            if member.state != MemberState::Down {
                self.tell(site.server(member.server));
            }
        }
    }

    pub(crate) fn join(&mut self, site: &Site, server: u8, weight: u16) {
        self.change(site, |members| members.push(member(server, weight)));
    }

    fn state(&mut self, site: &Site, server: u8, state: MemberState) {
        self.change(site, |members| {
            members.iter_mut().find(|m| m.server == server).unwrap().state = state;
        });
    }

    pub(crate) fn weight(&mut self, site: &Site, server: u8, weight: u16) {
        self.change(site, |members| {
            members.iter_mut().find(|m| m.server == server).unwrap().weight = weight;
        });
    }

    pub(crate) fn drain(&mut self, site: &Site, server: u8, secs: u64) {
        self.state(site, server, within(secs));
    }

    pub(crate) fn down(&mut self, site: &Site, server: u8) {
        self.state(site, server, MemberState::Down);
    }

    pub(crate) fn remove(&mut self, site: &Site, server: u8) {
        self.change(site, |members| members.retain(|m| m.server != server));
    }
    pub(crate) fn tell(&self, server: &Server) {
        let fleet = Fleet {
            generation: self.generation,
            members: self.members.clone(),
            past: self.past.clone(),
        };
        {
            let root = format!("/proc/{}/root/dev/shm", server.namespace.pid());
            let place = shm::Place::beneath(Path::new(&root), &server.dataplane().instance).unwrap();
            let control = attach::Control::attach(&place).unwrap();
            let mut writer = Writer::new(control.commands);
            let mut listener = shm::events::Listener::new(control.events);
            let id = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
            writer.begin(id, Scope::Delta).unwrap();
            writer.item(&Item::Fleet(Box::new(fleet.clone()))).unwrap();
            writer.commit().unwrap();
            let mut done = false;
            until("the fleet is told", 10, || {
                let mut take = |event: Result<Event, _>| {
                    let event = event.unwrap();
                    match &event {
                        Event::Applied { id: of, .. } => done |= *of == id,
                        Event::Refused { .. } => panic!("{event:?}"),
                        _ => {}
                    }
                };
                drop(listener.hear(64, &mut take));
                done
            });
        }
    }
}
