//! From chunks that a client has read to emits that the scheduler counts.
//!
//! The scheduler numbers what it emits and the service numbers its chunks, and the two differ: an emit may become no chunk
//! (text that is held back, an answer that is not streamed), one, or two (a chat's first). What became no chunk counts as
//! read once everything before it is, so that only what a client really has in its mailbox holds its request up.

use std::collections::VecDeque;

/// One request's chunks that are not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    /// A chunk's number, and the newest emit that is read when it is. Both rise.
    outstanding: VecDeque<(u64, u64)>,
}

impl Acks {
    /// An emit came, and the last chunk made of it, if any, was sent. Gives the emit that is thereby read.
    pub(crate) fn emitted(&mut self, emit: u64, last_chunk: Option<u64>) -> Option<u64> {
        match (last_chunk, self.outstanding.back_mut()) {
            (Some(chunk), _) => self.outstanding.push_back((chunk, emit)),
            (None, Some((_, newest))) => *newest = emit,
            (None, None) => return Some(emit),
        }
        None
    }

    /// The client has read all chunks up to this one. Gives the newest emit that is thereby read; nothing, if no chunk of
    /// this number was sent.
    pub(crate) fn read(&mut self, chunk: u64) -> Option<u64> {
        self.outstanding.back().filter(|&&(newest, _)| chunk <= newest)?;
        let mut read = None;
        while let Some((_, emit)) = self.outstanding.pop_front_if(|(sent, _)| *sent <= chunk) {
            read = Some(emit);
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emit_is_read_with_the_last_chunk_made_of_it() {
        let mut acks = Acks::default();
        assert_eq!(acks.emitted(0, Some(1)), None);
        assert_eq!(acks.emitted(1, Some(2)), None);
        assert_eq!(acks.read(0), None, "chunk 1 is of emit 0 too");
        assert_eq!(acks.read(1), Some(0));
        assert_eq!(acks.read(2), Some(1));
    }

    #[test]
    fn one_acknowledgement_is_for_all_before_it_and_a_second_one_for_nothing() {
        let mut acks = Acks::default();
        for emit in 0..5 {
            acks.emitted(emit, Some(emit));
        }
        assert_eq!(acks.read(3), Some(3));
        assert_eq!(acks.read(3), None);
        assert_eq!(acks.read(1), None);
    }

    #[test]
    fn emits_without_a_chunk_are_read_as_soon_as_all_chunks_before_them_are() {
        let mut acks = Acks::default();
        assert_eq!(acks.emitted(0, None), Some(0));
        assert_eq!(acks.emitted(1, Some(0)), None);
        assert_eq!(acks.emitted(2, None), None);
        assert_eq!(acks.emitted(3, None), None);
        assert_eq!(acks.read(0), Some(3));
        assert_eq!(acks.emitted(4, None), Some(4));
    }

    #[test]
    fn a_chunk_that_was_never_sent_acknowledges_nothing() {
        let mut acks = Acks::default();
        assert_eq!(acks.read(0), None);
        acks.emitted(0, Some(0));
        assert_eq!(acks.read(1), None);
        assert_eq!(acks.read(u64::MAX), None);
        assert_eq!(acks.read(0), Some(0));
    }
}
