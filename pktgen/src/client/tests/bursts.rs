//! Messages that come together are opened together, and judged one by one.

use super::*;

/// A swarm with traffic under way to clients, and the frames that the server has for it, undelivered.
fn caught() -> (World, Vec<Vec<u8>>) {
    let mut plan = plan(4);
    plan.traffic = Some(traffic(Kind::OneWay, Target::Clients, Family::V4, 100_000.0));
    let mut world = World::new(plan);
    world.connect();
    world.slow = [Duration::from_secs(1000); 2];
    world.swarm.begin(world.now);
    world.run(STEP, STEP);
    world.swarm.end(world.now);
    let frames = std::mem::take(&mut world.under_way).into_iter().map(|(_, frame)| frame);
    let frames: Vec<_> = frames.collect();
    world.slow = [Duration::ZERO; 2];
    assert!(frames.len() > 64, "more than one batch: {}", frames.len());
    (world, frames)
}

fn give(world: &mut World, burst: &[Vec<u8>]) {
    let moment = world.moment();
    world.swarm.receive(burst.iter().map(Vec::as_slice), moment, &mut |_| true);
}

#[test]
fn a_burst_is_worth_as_much_as_its_frames_one_by_one() {
    let (mut together, frames) = caught();
    give(&mut together, &frames);
    let (mut alone, same) = caught();
    assert_eq!(frames, same, "the same seed gives the same run");
    same.chunks(1).for_each(|frame| give(&mut alone, frame));
    assert_eq!(together.swarm.tally(), alone.swarm.tally());
    assert_eq!(together.swarm.meter().sums(), alone.swarm.meter().sums());
    let sums = together.swarm.meter().sums();
    assert_eq!((sums.missing, sums.reordered), (0, 0), "order is kept");
}

#[test]
fn copies_and_forgeries_in_a_burst_are_told_from_the_others() {
    let (mut world, frames) = caught();
    let burst: Vec<_> = frames.iter().take(9).cloned().collect();
    let mut burst = [burst.clone(), burst].concat();
    let last = burst[4].len() - 1;
    burst[4][last] ^= 1;
    // A forged octet breaks the outer checksum first: over IPv4 that says none.
    let sum_at = if burst[4][12] == 0x08 { 14 + 20 + 6 } else { 14 + 40 + 6 };
    let is_v4 = burst[4][12] == 0x08;
    if is_v4 {
        burst[4][sum_at..sum_at + 2].fill(0);
    }
    give(&mut world, &burst);
    let tally = world.swarm.tally();
    let forged = if is_v4 { tally.refused.tag } else { tally.foreign };
    assert_eq!((tally.data_received, forged, tally.refused.session), (9, 1, 8), "{tally:?}");
    assert_eq!(tally.unaccounted(), 0);
}

#[test]
fn a_handshake_message_in_a_burst_finds_all_before_it_opened() {
    let (mut world, mut frames) = caught();
    let mut nonsense = {
        // A cookie reply of the first frame's client, which proves nothing.
        let head = if frames[0][12] == 0x08 { 42 } else { 62 };
        let (source, to) = (site::server(site::SERVER_V4.into()), world.swarm.shared.places.of(0));
        let mut message = vec![0; 64];
        message[0] = 3;
        message[4..8].copy_from_slice(&frames[0][head + 4..head + 8]);
        packets::datagram(source, to, &message)
    };
    nonsense[..6].copy_from_slice(&MAC);
    frames.truncate(20);
    frames.insert(10, nonsense);
    give(&mut world, &frames);
    let (tally, sums) = (world.swarm.tally(), world.swarm.meter().sums());
    assert_eq!(
        (tally.data_received, sums.reordered, tally.refused.invalid),
        (20, 0, 1),
        "{tally:?}"
    );
    assert_eq!(tally.unaccounted(), 0);
}
