//! A run that is sealed ahead is the same run.

use super::*;

const MEBIBYTE: u64 = 1 << 20;

fn prepared(kind: Kind, target: Target, pool: Option<u64>) -> Plan {
    let mut plan = plan(6);
    let mut traffic = traffic(kind, target, Family::V4, 20_000.0);
    traffic.pattern = Pattern::Poisson;
    traffic.sealing = pool.map_or(Sealing::Live, Sealing::Prepared);
    plan.traffic = Some(traffic);
    plan
}

/// Connects, prepares, and lets a second pass; packets sent after each millisecond.
fn second(plan: Plan) -> (World, Vec<u64>) {
    let mut world = World::new(plan);
    world.connect();
    let (time, now) = (Duration::from_secs(1), world.now);
    world.swarm.prepare(time, || now).unwrap();
    // Sealing takes a while.
    world.run(Duration::from_millis(500), STEP);
    world.swarm.begin(world.now);
    world.swarm.limit(world.now + time);
    let mut sent = Vec::new();
    for _ in 0..1000 {
        world.run(STEP, STEP);
        sent.push(world.swarm.tally().data_sent);
    }
    world.run(Duration::from_millis(50), STEP);
    (world, sent)
}

#[test]
fn packets_sealed_ahead_leave_when_live_ones_would_and_arrive_whole() {
    for (kind, target) in [
        (Kind::Echo, Target::Host(site::LOCAL_V4.into())),
        (Kind::OneWay, Target::Clients),
        (Kind::Tcp, Target::Clients),
    ] {
        let (live, live_sent) = second(prepared(kind, target, None));
        let (mut ahead, ahead_sent) = second(prepared(kind, target, Some(64 * MEBIBYTE)));
        assert_eq!(live_sent, ahead_sent, "{kind:?}: the same plan");
        let (tally, sums) = (*ahead.swarm.tally(), ahead.swarm.meter().sums());
        assert_eq!(tally.prepared, sums.sent);
        assert_eq!((sums.sent, sums.missing), (live.swarm.meter().sums().sent, 0), "{tally:?}");
        assert_eq!(live.swarm.tally().prepared, 0);
        // Half a second of sealing would show.
        let latency = ahead.swarm.meter().latency.percentiles();
        assert!(latency.max_ns <= 3_000_000, "{latency:?}");
        ahead.drain();
    }
}

#[test]
fn a_run_that_is_ended_early_keeps_its_books() {
    let plan = prepared(Kind::OneWay, Target::Clients, Some(64 * MEBIBYTE));
    let mut world = World::new(plan);
    world.connect();
    let now = world.now;
    world.swarm.prepare(Duration::from_secs(1), || now).unwrap();
    world.swarm.begin(world.now);
    world.run(Duration::from_millis(300), STEP);
    world.drain();
    let (tally, sums) = (world.swarm.tally(), world.swarm.meter().sums());
    assert!(sums.sent > 5000 && tally.prepared > sums.sent, "{tally:?} {sums:?}");
    assert_eq!(sums.missing, 0);
}

#[test]
fn what_does_not_fit_or_last_is_refused_with_its_remedy() {
    let mut world = World::new(prepared(Kind::OneWay, Target::Clients, Some(MEBIBYTE)));
    world.connect();
    let now = world.now;
    let refused = world.swarm.prepare(Duration::from_secs(1), || now).unwrap_err();
    let PoolRefused::TooMuch { needed, allowed } = refused else { panic!("{refused}") };
    assert_eq!(allowed, MEBIBYTE);
    let enough = prepared(Kind::OneWay, Target::Clients, Some(needed));
    let text = refused.to_string();
    let named = format!("raise traffic.pool_megabytes to {},", needed.div_ceil(MEBIBYTE));
    assert!(text.contains(&named), "{text}");
    let mut world = World::new(enough);
    world.connect();
    assert_eq!(
        world.swarm.prepare(Duration::from_secs(1), || now),
        Ok(()),
        "what it needs is enough"
    );

    let mut world = World::new(prepared(Kind::OneWay, Target::Clients, Some(MEBIBYTE)));
    world.connect();
    let now = world.now;
    let refused = world.swarm.prepare(Duration::from_mins(2), || now).unwrap_err();
    assert!(refused.to_string().contains("lower run.secs"), "{refused}");
}
