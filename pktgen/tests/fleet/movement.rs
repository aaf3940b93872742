//! What moves while a test does something else: clients go from port to port and from address to address and
//! renew their sessions, and the router sends every flow elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::router::Router;
use super::stock::Stock;

const PAUSE: Duration = Duration::from_millis(250);

/// Runs `rest`, and moves these clients until it is over.
pub(crate) fn during<T>(router: &Router, clients: &[&Stock<'_>], rest: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = End(&is_over);
        scope.spawn(|| keep_moving(router, clients, &is_over));
        rest()
    })
}

/// Ends the movement also where the rest fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn keep_moving(router: &Router, clients: &[&Stock<'_>], is_over: &AtomicBool) {
    for turn in 0.. {
        for client in clients {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            match turn % 3 {
                0 => client.rebind(),
                1 => client.renew(),
                _ => client.roam(),
            }
            router.shuffle();
            std::thread::sleep(PAUSE);
        }
    }
}
