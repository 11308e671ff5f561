// The cache under test: the ring of one layer and one batch row, for attention that sees a sliding window.
//
// It hands its buffer out as it lies, rows in slot order, with a mask that says which query may attend to which row.
//
// Worked example: window 4, sink_tokens 1, rollback_tokens 2, so 7 slots, after 12 tokens (positions 0..11):
//
//     slot         0    1    2    3    4    5    6
//     position     0    7    8    9   10   11    6      the token at position 11 sees 0, 8, 9, 10, 11
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

using Row = std::vector<std::vector<float>>;  // K or V of one token: (kv_heads, dim)
using Rows = std::vector<Row>;                // (tokens, kv_heads, dim)

// What the queries of one update need.
struct View {
    Rows keys, values;                    // (rows, kv_heads, dim)
    std::vector<long> positions;          // (rows,), -1 for a dead slot
    std::vector<std::vector<bool>> mask;  // (queries, rows), true = may attend
};

class Ring {
public:
    Ring(long window, long sink_tokens, long rollback_tokens, bool wrong)
        : window_(window), sink_tokens_(sink_tokens), ring_slots_(window + rollback_tokens), wrong_(wrong),
          keys_(sink_tokens + ring_slots_), values_(keys_.size()), positions_(keys_.size(), -1) {}

    // How many tokens the sequence has seen, which is the position of the next one.
    long seq_len() const { return seq_len_; }

    // Takes new tokens, and returns the rows that these tokens see.
    View update(const Rows& keys, const Rows& values) {
        if (keys.empty()) return {};
        const long first = seq_len_;
        const long last = seq_len_ + static_cast<long>(keys.size()) - 1;
        // The oldest row that the first query sees must outlive the write of the last row, which takes the slot of the
        // token ring_slots_ before it. A long chunk needs more rows than there are slots: then its view is a copy of
        // the slots as they were, and the new rows behind them.
        const bool in_place = last - ring_slots_ < std::max(sink_tokens_, first - window_ + 1);
        View view;
        if (!in_place && !wrong_) view = assembled(keys, values);
        for (long position = first; position <= last; ++position) {
            keys_[slot(position)] = keys[position - first];
            values_[slot(position)] = values[position - first];
            positions_[slot(position)] = position;
        }
        seq_len_ = last + 1;
        // The bug of the wrong ring: what the early queries of a long chunk should see has just been overwritten.
        if (in_place || wrong_) view = buffer();
        add_mask(view, first, last);
        return view;
    }

    // The rows that the newest token sees; one query without rows when the ring is empty.
    View read() const {
        View view = buffer();
        add_mask(view, seq_len_ - 1, seq_len_ - 1);
        return view;
    }

    // Throws unless truncate(seq_len) is possible; changes nothing. What the token at seq_len - 1 sees must be here.
    void check_truncate(long seq_len) const {
        if (seq_len < 0 || seq_len > seq_len_)
            throw std::out_of_range("seq_len: expected 0.." + std::to_string(seq_len_) + ", got " +
                                    std::to_string(seq_len));
        for (long position = 0; position < seq_len; ++position)
            if (may_attend(seq_len - 1, position) && positions_[slot(position)] != position)
                throw std::out_of_range("cannot truncate to " + std::to_string(seq_len) + ": position " +
                                        std::to_string(position) + " is gone");
    }

    // Drops the newest tokens; seq_len are left. Call check_truncate of all rings first.
    void truncate(long seq_len) {
        for (long& position : positions_)
            if (position >= seq_len) position = -1;
        seq_len_ = seq_len;
    }

private:
    // Sinks have slots of their own, the others take turns in the rest.
    long slot(long position) const {
        if (position < sink_tokens_) return position;
        return sink_tokens_ + (position - sink_tokens_) % ring_slots_;
    }

    bool may_attend(long query, long position) const {
        const bool known = position >= 0 && position <= query;
        return known && (position < sink_tokens_ || position > query - window_);
    }

    // Slots 0 to the highest that holds a row. An engine would return pointers instead of this copy.
    View buffer() const {
        long rows = static_cast<long>(positions_.size());
        while (rows > 0 && positions_[rows - 1] < 0) --rows;
        return {Rows(keys_.begin(), keys_.begin() + rows), Rows(values_.begin(), values_.begin() + rows),
                std::vector<long>(positions_.begin(), positions_.begin() + rows), {}};
    }

    // The slots before the write, and behind them the new rows.
    View assembled(const Rows& keys, const Rows& values) const {
        View view = buffer();
        view.keys.insert(view.keys.end(), keys.begin(), keys.end());
        view.values.insert(view.values.end(), values.begin(), values.end());
        for (long token = 0; token < static_cast<long>(keys.size()); ++token)
            view.positions.push_back(seq_len_ + token);
        return view;
    }

    void add_mask(View& view, long first_query, long last_query) const {
        for (long query = first_query; query <= last_query; ++query) {
            view.mask.emplace_back();
            for (long position : view.positions) view.mask.back().push_back(may_attend(query, position));
        }
    }

    long window_, sink_tokens_, ring_slots_;
    bool wrong_;
    Rows keys_, values_;           // (slots, kv_heads, dim)
    std::vector<long> positions_;  // (slots,): whose row each slot holds, -1 for none
    long seq_len_ = 0;
};
