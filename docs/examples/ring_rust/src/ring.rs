//! The cache under test: the ring of one layer and one batch row, for attention that sees a sliding window.
//!
//! It hands out copies of the rows that are needed, oldest first, with a mask that says which query may attend to
//! which row.
//!
//! Worked example: window 4, sink_tokens 1, rollback_tokens 2, so 7 slots, after 12 tokens (positions 0..=11):
//!
//! ```text
//! slot         0    1    2    3    4    5    6
//! position     0    7    8    9   10   11    6      the token at position 11 sees 0, 8, 9, 10, 11
//! ```
//!
//! `truncate(10)` is possible: position 9 sees 0, 6, 7, 8, 9. `truncate(9)` is not: position 5 is gone.

use std::cmp::{max, min};

/// K or V of one token: `(kv_heads, dim)`.
pub type Row = Vec<Vec<f32>>;

/// What the queries of one update need.
#[derive(Default)]
pub struct View {
    pub keys: Vec<Row>,        // (rows, kv_heads, dim)
    pub values: Vec<Row>,      // (rows, kv_heads, dim)
    pub positions: Vec<usize>, // (rows)
    pub mask: Vec<Vec<bool>>,  // (queries, rows), true = may attend
}

#[derive(Clone)]
pub struct Ring {
    window: usize,
    sink_tokens: usize,
    ring_slots: usize,
    wrong: bool,
    keys: Vec<Row>,   // (slots, kv_heads, dim)
    values: Vec<Row>, // (slots, kv_heads, dim)
    seq_len: usize,
    oldest: usize, // the oldest position that is still here, sinks aside
}

impl Ring {
    pub fn new(window: usize, sink_tokens: usize, rollback_tokens: usize, wrong: bool) -> Ring {
        let ring_slots = window + rollback_tokens;
        let rows = vec![Row::new(); sink_tokens + ring_slots];
        Ring {
            window,
            sink_tokens,
            ring_slots,
            wrong,
            keys: rows.clone(),
            values: rows,
            seq_len: 0,
            oldest: sink_tokens,
        }
    }

    /// How many tokens the sequence has seen, which is the position of the next one.
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// Takes new tokens, and returns the rows that these tokens see.
    ///
    /// The view is taken before anything is written: a chunk longer than `rollback_tokens + 1` overwrites rows that its
    /// early queries see.
    pub fn update(&mut self, keys: &[Row], values: &[Row]) -> View {
        let end = self.seq_len + keys.len();
        let view = self.view(self.seq_len, end, keys, values);
        for (token, position) in (self.seq_len..end).enumerate() {
            let slot = self.slot(position);
            self.keys[slot] = keys[token].clone();
            self.values[slot] = values[token].clone();
        }
        self.seq_len = end;
        self.oldest = max(self.oldest, end.saturating_sub(self.ring_slots));
        view
    }

    /// The rows that the newest token sees; one query without rows when the ring is empty.
    pub fn read(&self) -> View {
        let newest = self.seq_len.saturating_sub(1);
        let mut view = self.view(newest, self.seq_len, &[], &[]);
        view.mask.resize(1, Vec::new());
        view
    }

    /// Refuses if `truncate(seq_len)` is not possible: what the token at `seq_len - 1` sees must still be here.
    pub fn check_truncate(&self, seq_len: usize) -> Result<(), String> {
        if seq_len > self.seq_len {
            return Err(format!(
                "seq_len: expected 0..={}, got {seq_len}",
                self.seq_len
            ));
        }
        // The bug of the wrong ring: it does not ask what has been overwritten since.
        if self.wrong {
            return Ok(());
        }
        let needed = max(self.sink_tokens, seq_len.saturating_sub(self.window));
        if seq_len > self.sink_tokens && needed < self.oldest {
            return Err(format!(
                "cannot truncate to {seq_len}: position {needed} is gone"
            ));
        }
        Ok(())
    }

    /// Drops the newest tokens; `seq_len` are left. Call `check_truncate` of all rings first.
    pub fn truncate(&mut self, seq_len: usize) {
        self.seq_len = seq_len;
        if seq_len <= self.sink_tokens {
            self.oldest = self.sink_tokens; // the rest starts afresh
        }
    }

    /// Sinks have slots of their own, the others take turns in the rest.
    fn slot(&self, position: usize) -> usize {
        if position < self.sink_tokens {
            return position;
        }
        self.sink_tokens + (position - self.sink_tokens) % self.ring_slots
    }

    fn may_attend(&self, query: usize, position: usize) -> bool {
        position <= query && (position < self.sink_tokens || position + self.window > query)
    }

    /// The rows for the queries at positions `first..end`, oldest first: the sinks, the window of the first query, the
    /// new rows. Positions from `seq_len` on are rows of `keys` and `values`, which are not in slots yet.
    fn view(&self, first: usize, end: usize, keys: &[Row], values: &[Row]) -> View {
        let mut view = View::default();
        if first == end {
            return view; // no queries
        }
        let recent = max(self.sink_tokens, (first + 1).saturating_sub(self.window));
        for position in (0..min(self.sink_tokens, end)).chain(recent..end) {
            let (key, value) = if position < self.seq_len {
                let slot = self.slot(position);
                (&self.keys[slot], &self.values[slot])
            } else {
                let token = position - self.seq_len;
                (&keys[token], &values[token])
            };
            view.keys.push(key.clone());
            view.values.push(value.clone());
            view.positions.push(position);
        }
        for query in first..end {
            let mask = view.positions.iter().map(|&p| self.may_attend(query, p));
            view.mask.push(mask.collect());
        }
        view
    }
}
