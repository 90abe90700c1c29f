//! Who is there, what their users look at, and how much was computed for each.
//!
//! The user's eyes decide the [`Class`] of a client's requests. Within a class clients share by *virtual token counters* (VTC,
//! Sheng et al. 2024, "Fairness in Serving Large Language Models"): every row computed for a client adds one to its counter,
//! and the client with the least goes first. A client that comes back from idling is lifted to the least counter of those
//! who did not, so that idling earns no credit.

use crate::events::{ClientId, Priority};
use std::collections::BTreeMap;

/// Who matters more: a smaller class goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class(pub(crate) u8);

impl Class {
    /// Somebody looks at this very tab and types into it.
    pub(crate) const FOCUSED: Self = Self(0);
    /// On screen.
    pub(crate) const VISIBLE: Self = Self(1);
    /// Another tab covers it.
    pub(crate) const HIDDEN: Self = Self(2);
    /// Nobody waits.
    pub(crate) const BATCH: Self = Self(3);

    /// So many classes better, though never as good as what the user looks at.
    pub(crate) fn raised(self, by: u64) -> Self {
        let by = by.min(u64::from(u8::MAX)) as u8;
        Self(self.0.saturating_sub(by).max(self.0.min(Self::VISIBLE.0)))
    }
}

/// One client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) visible: bool,
    pub(crate) focused: bool,
    pub(crate) frozen: bool,
    /// Rows computed for it, after lifts.
    pub(crate) counter: u64,
}

impl Default for Client {
    fn default() -> Self {
        Self { visible: true, focused: false, frozen: false, counter: 0 }
    }
}

/// Everyone who said hello or asked for something, until gone.
#[derive(Debug, Default)]
pub(crate) struct Clients(BTreeMap<ClientId, Client>);

impl Clients {
    pub(crate) fn hello(&mut self, client: ClientId) {
        self.0.entry(client).or_default();
    }

    pub(crate) fn gone(&mut self, client: ClientId) {
        self.0.remove(&client);
    }

    pub(crate) fn set_state(&mut self, client: ClientId, visible: bool, focused: bool, frozen: bool) {
        let counter = self.counter(client);
        self.0.insert(client, Client { visible, focused, frozen, counter });
    }

    pub(crate) fn counter(&self, client: ClientId) -> u64 {
        self.0.get(&client).map_or(0, |client| client.counter)
    }

    pub(crate) fn is_frozen(&self, client: ClientId) -> bool {
        self.0.get(&client).is_some_and(|client| client.frozen)
    }

    /// The class of a request of this client.
    pub(crate) fn class(&self, client: ClientId, priority: Priority) -> Class {
        let client = self.0.get(&client).copied().unwrap_or_default();
        match priority {
            Priority::Batch => Class::BATCH,
            Priority::Interactive if client.focused && client.visible => Class::FOCUSED,
            Priority::Interactive if client.visible => Class::VISIBLE,
            Priority::Interactive => Class::HIDDEN,
        }
    }

    pub(crate) fn charge(&mut self, client: ClientId, rows: usize) {
        self.0.entry(client).or_default().counter += rows as u64;
    }

    /// A client becomes active beside those in `active`.
    pub(crate) fn lift(&mut self, client: ClientId, active: impl Iterator<Item = ClientId>) {
        let least = active.filter(|other| *other != client).map(|other| self.counter(other)).min();
        let entry = self.0.entry(client).or_default();
        entry.counter = entry.counter.max(least.unwrap_or(0));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.0.iter().map(|(id, client)| (*id, client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId(1);
    const B: ClientId = ClientId(2);

    #[test]
    fn the_class_follows_the_users_eyes_and_batch_follows_nothing() {
        let mut clients = Clients::default();
        assert_eq!(clients.class(A, Priority::Interactive), Class::VISIBLE, "of a client that never said");
        for (visible, focused, class) in [
            (true, true, Class::FOCUSED),
            (true, false, Class::VISIBLE),
            (false, false, Class::HIDDEN),
            (false, true, Class::HIDDEN),
        ] {
            clients.set_state(A, visible, focused, false);
            assert_eq!(clients.class(A, Priority::Interactive), class);
            assert_eq!(clients.class(A, Priority::Batch), Class::BATCH);
        }
    }

    #[test]
    fn waiting_raises_a_class_and_never_to_the_first() {
        assert_eq!(Class::BATCH.raised(0), Class::BATCH);
        assert_eq!(Class::BATCH.raised(1), Class::HIDDEN);
        assert_eq!(Class::BATCH.raised(1000), Class::VISIBLE);
        assert_eq!(Class::VISIBLE.raised(7), Class::VISIBLE);
        assert_eq!(Class::FOCUSED.raised(7), Class::FOCUSED);
    }

    #[test]
    fn idling_earns_no_credit_and_costs_none() {
        let mut clients = Clients::default();
        clients.charge(A, 100);
        clients.lift(B, [A].into_iter());
        assert_eq!(clients.counter(B), 100);
        clients.charge(B, 50);
        clients.lift(A, [A, B].into_iter());
        assert_eq!(clients.counter(A), 150);
        clients.charge(A, 1);
        clients.lift(A, [B].into_iter());
        assert_eq!(clients.counter(A), 151, "a lift never lowers");
        clients.set_state(A, false, false, true);
        assert_eq!(clients.counter(A), 151);
    }
}
