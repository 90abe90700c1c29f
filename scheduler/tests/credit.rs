//! Clients that do not read, or cannot: their streams stand still, and everybody else's go on.

mod fake;
mod rig;

use rig::{Rig, all_free, alone, capacity, config, name, rig, spec_of};
use tilewright_scheduler::{ClientId, Config, Event, Parked};

fn window(window: u32, depth: u32) -> Rig {
    Rig::new(Config { credit_window: window, ..config() }, capacity(20, 16, depth))
}

#[test]
fn a_stream_that_nobody_acknowledges_stands_still_at_the_window_and_the_others_go_on() {
    for depth in 1..=3 {
        let mut rig = window(8, depth);
        rig.silent.insert(ClientId(1));
        rig.submit(1, 1, spec_of(1, 5, 40));
        rig.submit(2, 1, spec_of(2, 5, 40));
        rig.drain();
        assert_eq!(rig.stream(1, 1).emits, 8, "at depth {depth}");
        assert_eq!(rig.scheduler.snapshot().running[0].parked, Some(Parked::Credit));
        assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 5, 40), 50, 320).0);
        // It reads half of it, then the rest.
        let (client, request) = name(1, 1);
        rig.send(Event::Ack { client, request, seq: 3 });
        rig.drain();
        assert_eq!(rig.stream(1, 1).emits, 12);
        rig.silent.clear();
        rig.send(Event::Ack { client, request, seq: 11 });
        rig.drain();
        assert_eq!(rig.stream(1, 1).tokens, alone(&spec_of(1, 5, 40), 50, 320).0);
        assert!(all_free(&rig));
    }
}

#[test]
fn the_end_needs_no_credit() {
    let mut rig = window(8, 1);
    rig.silent.insert(ClientId(1));
    rig.submit(1, 1, spec_of(1, 5, 8));
    rig.drain();
    assert!(rig.stream(1, 1).end.is_some());
}

#[test]
fn acknowledgements_from_the_future_of_strangers_and_of_the_past_change_nothing() {
    let mut rig = window(4, 1);
    rig.silent.insert(ClientId(1));
    rig.submit(1, 1, spec_of(1, 5, 40));
    rig.drain();
    let before = rig.scheduler.snapshot();
    for (client, request, seq) in [(1, 1, 4), (1, 1, 1_000_000), (1, 1, u64::MAX), (1, 2, 0), (2, 1, 0)] {
        let (client, request) = name(client, request);
        assert_eq!(rig.send(Event::Ack { client, request, seq }), []);
        assert_eq!(rig.scheduler.snapshot(), before);
    }
    let (client, request) = name(1, 1);
    rig.send(Event::Ack { client, request, seq: 3 });
    rig.drain();
    rig.send(Event::Ack { client, request, seq: 0 });
    assert_eq!(rig.scheduler.snapshot().running[0].unacknowledged, 4);
}

#[test]
fn a_frozen_tab_stands_still_and_goes_on_when_it_thaws() {
    let mut rig = rig(20, 16, 2);
    rig.submit(1, 1, spec_of(1, 5, 30));
    rig.submit(2, 1, spec_of(2, 5, 30));
    rig.step();
    rig.step();
    rig.state(1, false, false, true);
    rig.submit(1, 2, spec_of(3, 5, 3));
    rig.drain();
    let snapshot = rig.scheduler.snapshot();
    assert_eq!(snapshot.running[0].parked, Some(Parked::Frozen));
    assert_eq!((snapshot.running.len(), snapshot.waiting.len()), (1, 1), "what it asked for while frozen waits");
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 5, 30), 50, 320).0);
    rig.state(1, true, true, false);
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, alone(&spec_of(1, 5, 30), 50, 320).0);
    assert_eq!(rig.stream(1, 2).tokens, alone(&spec_of(3, 5, 3), 50, 320).0);
}

#[test]
fn blocks_of_a_stream_that_stands_still_are_anybodys_who_needs_them() {
    let mut rig = rig(10, 16, 1);
    rig.state(1, true, true, false);
    rig.submit(1, 1, spec_of(1, 120, 30));
    rig.step();
    rig.state(1, true, true, true);
    rig.drain();
    rig.state(2, false, false, false);
    rig.submit(2, 1, spec_of(2, 120, 5));
    rig.drain();
    assert_eq!(rig.stream(2, 1).tokens, alone(&spec_of(2, 120, 5), 50, 160).0);
    rig.state(1, true, true, false);
    rig.drain();
    assert_eq!(rig.stream(1, 1).tokens, alone(&spec_of(1, 120, 30), 50, 160).0);
}

#[test]
fn a_client_that_closes_while_it_stands_still_leaves_nothing_behind() {
    let mut rig = window(4, 2);
    rig.silent.insert(ClientId(1));
    rig.submit(1, 1, spec_of(1, 5, 40));
    rig.submit(1, 2, spec_of(1, 50, 40));
    rig.drain();
    rig.send(Event::ClientGone { client: ClientId(1) });
    rig.drain();
    assert!(all_free(&rig) && rig.fake.open.is_empty());
    let snapshot = rig.scheduler.snapshot();
    assert!(snapshot.running.is_empty() && snapshot.waiting.is_empty() && snapshot.clients.is_empty());
}
