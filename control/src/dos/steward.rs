//! The steward: makes rules of what detection finds, takes out rules whose time is over, and writes down what becomes of
//! all rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Round;
use super::detection::{Detection, Plan, Surroundings};
use super::journal::{Happened, Journal, What};
use crate::desk::{Desk, Notice};
use crate::live::around;
use crate::model::dos::Reach;
use crate::model::{Book, Change, Origin, Rule};
use crate::signature;

/// From one look for rules whose time is over to the next.
const TICK: Duration = Duration::from_millis(250);

struct Steward {
    desk: Desk,
    journal: Arc<Journal>,
    detection: Detection,
    /// The look at where all clients are, until it is done.
    survey: Option<JoinHandle<bool>>,
    /// The number of the last round that was judged.
    judged: u64,
    /// The rules that the journal knows of.
    known: HashMap<u32, Arc<Rule>>,
    /// Rules that go by the steward's own doing, which the journal has already.
    gone: HashSet<u32>,
}

/// Begins; goes on until control ends.
pub fn begin(desk: Desk, journal: Arc<Journal>) {
    tokio::spawn(Steward::new(desk, journal).run());
}

impl Steward {
    fn new(desk: Desk, journal: Arc<Journal>) -> Self {
        let (detection, gone) = (Detection::default(), HashSet::new());
        let known = rules_of(&desk.book());
        Self { desk, journal, detection, survey: None, judged: 0, known, gone }
    }

    async fn run(mut self) {
        let mut notices = self.desk.subscribe();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.survey();
        loop {
            tokio::select! {
                notice = notices.recv() => match notice {
                    Ok(Notice::Swept) => self.detect().await,
                    Ok(Notice::Changed) => self.compare(),
                    Ok(Notice::Attached) => self.meet(),
                    // Any of them may be among those that were missed.
                    Err(RecvError::Lagged(_)) => {
                        self.meet();
                        self.compare();
                    }
                    Ok(Notice::Detached
                        | Notice::Handshake(..)
                        | Notice::EndpointMoved(..)
                        | Notice::PeerExpired(_)
                        | Notice::Lost(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                _ = ticks.tick() => self.expire().await,
            }
        }
    }

    /// A dataplane that comes counts its rounds from the first.
    fn meet(&mut self) {
        self.judged = 0;
        self.survey();
    }

    /// Has the dataplane tell where all clients are.
    fn survey(&mut self) {
        let desk = self.desk.clone();
        self.survey = Some(tokio::spawn(async move { desk.survey().await }));
    }

    /// Whether it is known where all clients are, for none of them shall be cut off. What the dataplane did not answer
    /// is asked again.
    async fn knows_clients(&mut self) -> bool {
        let Some(survey) = self.survey.take_if(|survey| survey.is_finished()) else {
            return self.survey.is_none();
        };
        let is_known = survey.await.unwrap_or(false);
        if !is_known {
            self.survey();
        }
        is_known
    }

    async fn detect(&mut self) {
        let (book, round) = (self.desk.book(), self.desk.heard().round());
        let judged = std::mem::replace(&mut self.judged, round.number);
        if judged == round.number {
            return;
        }
        if book.detect().is_none() || !self.knows_clients().await {
            self.detection.interrupt();
            return;
        }
        let (desk, mut detection) = (self.desk.clone(), std::mem::take(&mut self.detection));
        // It looks through all clients, and compiles.
        let planned = tokio::task::spawn_blocking(move || {
            let plan = plan(&mut detection, &desk, &book, &round);
            (detection, plan)
        });
        let Ok((detection, plan)) = planned.await else { return };
        self.detection = detection;
        for happened in plan.told {
            self.write(happened);
        }
        self.act(plan.acts).await;
    }

    /// Makes the changes of a plan: all at once, and when something of it is refused each by itself.
    async fn act(&mut self, acts: Vec<(Vec<Change>, Happened)>) {
        if acts.is_empty() {
            return;
        }
        let all: Vec<Change> =
            acts.iter().flat_map(|(changes, _)| changes.iter().cloned()).collect();
        self.gone.extend(removed_by(&all, &self.desk.book()));
        if self.desk.change(Origin::Detection, all).await.is_ok() {
            for (_, happened) in acts {
                self.write(happened);
            }
            return;
        }
        for (changes, mut happened) in acts {
            let rule = happened.rule.clone();
            let gone = removed_by(&changes, &self.desk.book());
            if let Err(refused) = self.desk.change(Origin::Detection, changes).await {
                self.gone.retain(|id| !gone.contains(id));
                log::warn!("automatic rule {rule} is refused: {refused}");
                happened.what = What::NotEnforced;
                happened.why = format!("{}: {refused}", happened.why);
                if !self.detection.may_tell(&rule, unix_now().as_secs()) {
                    continue;
                }
            }
            self.write(happened);
        }
    }

    async fn expire(&mut self) {
        let (book, now) = (self.desk.book(), unix_now().as_secs());
        let expired: Vec<Arc<Rule>> = book.expired(now).cloned().collect();
        if expired.is_empty() {
            return;
        }
        self.gone.extend(expired.iter().map(|rule| rule.id));
        let changes = expired.iter().map(|rule| Change::ExpireRule { id: rule.id, now }).collect();
        // One that is refused comes again with the next look.
        if self.desk.change(Origin::Detection, changes).await.is_err() {
            self.gone.retain(|id| !expired.iter().any(|rule| rule.id == *id));
            return;
        }
        let book = self.desk.book();
        for rule in expired.iter().filter(|rule| book.rule(rule.id).is_none()) {
            self.detection.forget(&rule.name);
            let why = match self.desk.heard().count(rule.id).packets {
                0 => "its time is over; it has matched nothing".to_owned(),
                packets => format!("its time is over; it has matched {packets} packets"),
            };
            self.write(Happened { what: What::Expired, ..happened(rule, "control", why) });
        }
    }

    /// Writes down what others have changed.
    fn compare(&mut self) {
        let book = self.desk.book();
        let now = rules_of(&book);
        let mut all = Vec::new();
        for (id, rule) in &now {
            let by = by(&book, rule);
            match self.known.get(id) {
                _ if rule.is_automatic() => {}
                None => all.push(happened(rule, &by, rule.kind().to_owned())),
                Some(old) if Arc::ptr_eq(old, rule) => {}
                Some(old) => {
                    all.extend(
                        change_of(old, rule).map(|why| Happened {
                            what: What::Changed,
                            ..happened(rule, &by, why)
                        }),
                    );
                }
            }
        }
        for (id, rule) in &self.known {
            if now.contains_key(id) || self.gone.contains(id) {
                continue;
            }
            let (by, why) = match rule.origin {
                Origin::Declared(_) => (book.place(rule.origin), "is declared no more"),
                Origin::Detection if is_of_nobody(rule, &book) => {
                    ("control".to_owned(), "its tenant is gone")
                }
                Origin::Cli | Origin::Uapi | Origin::Registration | Origin::Detection => {
                    ("command line".to_owned(), "was removed")
                }
            };
            all.push(Happened { what: What::Removed, ..happened(rule, &by, why.to_owned()) });
        }
        self.known = now;
        // What is here still, such as a rule that was prolonged before it could expire, may go by somebody else's doing.
        self.gone.clear();
        for happened in all {
            self.write(happened);
        }
    }

    fn write(&self, happened: Happened) {
        log::info!("rule {} {}: {}", happened.rule, happened.what.word(), happened.why);
        self.journal.write(unix_now(), happened);
    }
}

fn plan(detection: &mut Detection, desk: &Desk, book: &Book, round: &Round) -> Plan {
    let speaking = |prefixes: &HashSet<IpNet>| {
        let mut speaking = desk.lives().speaking(prefixes);
        let members = book.fleet().into_iter().flat_map(|fleet| &fleet.members);
        let own = members
            .flat_map(|member| [member.v4.map(std::net::IpAddr::from), member.v6.map(Into::into)]);
        let peers = book.peers_after(None).filter_map(|peer| Some(peer.endpoint?.ip()));
        speaking.extend(around(prefixes, own.flatten().chain(peers)));
        speaking
    };
    let compile = |text: &str| signature::compile(text);
    let surroundings = Surroundings { speaking: &speaking, compile: &compile };
    detection.plan(round, book, unix_now().as_secs(), &surroundings)
}

fn rules_of(book: &Book) -> HashMap<u32, Arc<Rule>> {
    book.rules_after(0).map(|rule| (rule.id, Arc::clone(rule))).collect()
}

/// The ids of rules that changes take out.
fn removed_by(changes: &[Change], book: &Book) -> Vec<u32> {
    let removed = changes.iter().filter_map(|change| {
        let Change::RemoveRule(name) = change else { return None };
        Some(book.rule_named(name)?.id)
    });
    removed.collect()
}

/// Whether the tenant of a rule is none any more.
fn is_of_nobody(rule: &Rule, book: &Book) -> bool {
    matches!(&rule.reach, Reach::Tenant(name) if book.tenant_named(name).is_none())
}

fn by(book: &Book, rule: &Rule) -> String {
    match rule.origin {
        Origin::Declared(_) => book.place(rule.origin),
        Origin::Cli | Origin::Uapi | Origin::Registration => "command line".to_owned(),
        Origin::Detection => "detection".to_owned(),
    }
}

/// What is another in a rule; nothing when it stands in another line alone.
fn change_of(old: &Rule, new: &Rule) -> Option<String> {
    let mut parts = Vec::new();
    if old.mode != new.mode {
        let mode = crate::model::dos::word(&crate::model::dos::MODES, &new.mode);
        parts.push(format!("mode {mode}"));
    }
    if old.reach != new.reach {
        parts.push(format!("reach {}", new.reach.text()));
    }
    if old.expires != new.expires {
        parts.push("another end".to_owned());
    }
    match (old.prefixes(), new.prefixes()) {
        (Some(old), Some(new)) if !old.are(new) => {
            let (come, gone) = (new.without(old).len(), old.without(new).len());
            parts.push(format!("{come} prefixes come, {gone} go"));
        }
        (Some(_), Some(_)) => {}
        _ if old.matter != new.matter => parts.push("another content".to_owned()),
        _ => {}
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn happened(rule: &Rule, by: &str, why: String) -> Happened {
    let (rule, by) = (rule.name.to_string(), by.to_owned());
    Happened { what: What::Made, rule, by, why, packets: None, octets: None, dropped: None }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dos::{ListKind, Matter, Mode};

    #[tokio::test]
    async fn the_removal_of_a_rule_is_told_that_was_prolonged_before_it_could_expire() {
        let desk = Desk::detached(Book::default());
        let rule = Rule {
            name: "list".into(),
            id: 0,
            mode: Mode::Enforce,
            reach: Reach::All,
            expires: None,
            matter: Matter::List(ListKind::Block, vec!["192.0.2.7/32".parse().unwrap()].into()),
            origin: Origin::Cli,
        };
        desk.change(Origin::Cli, vec![Change::AddRule(rule)]).await.unwrap();
        let mut steward = Steward::new(desk.clone(), Arc::default());
        steward.gone.extend(desk.book().rules_after(0).map(|rule| rule.id));
        steward.compare();
        desk.change(Origin::Cli, vec![Change::RemoveRule("list".into())]).await.unwrap();
        steward.compare();
        let entries = steward.journal.after(0);
        let said: Vec<What> = entries.iter().map(|entry| entry.happened.what).collect();
        assert_eq!(said, [What::Removed]);
    }
}
