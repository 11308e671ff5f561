// The harness: requests come as lines of JSON on stdin, answers go as lines of JSON to stdout. It has no opinion on
// what is right; it hands rows to the ring and reports what the ring shows. To test a cache of your own, replace Ring
// and what the functions from `setup` to `reset` do with it.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "ring.hpp"

using nlohmann::json;

// Thrown where the cache lacks something; that is skipped, not held against it.
struct Unsupported : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Harness {
public:
    explicit Harness(bool wrong) : wrong_(wrong) {}

    json answer(const json& request) {
        try {
            return perform(request);
        } catch (const Unsupported& reason) {
            return {{"unsupported", reason.what()}};
        } catch (const std::exception& error) {  // a refusal: nothing may have changed
            return {{"error", error.what()}};
        }
    }

private:
    json perform(const json& request) {
        const std::string op = request.at("op");
        if (op == "hello") return hello(request);
        if (op == "setup") return setup(request.at("config"));
        if (op == "update") return update(request);
        if (op == "read") return read(request);
        if (op == "truncate") return truncate(request.at("seq_len"));
        if (op == "reset") return reset();
        throw Unsupported("no operation " + op);
    }

    // What the cache is good for. Words not given here have the defaults of kvring.testing.Supports.
    json hello(const json& request) const {
        if (request.at("contract") != 1) throw Unsupported("contracts other than 1");
        return {{"name", wrong_ ? "ring_cpp wrong" : "ring_cpp right"},
                {"supports",
                 {{"modes", {"circular"}},
                  {"row_order", "slots"},
                  {"mixed_layers", true},
                  {"special_values", false},  // JSON has no NaN
                  {"ragged", json::array()}}}};
    }

    json setup(const json& config) {
        if (config.at("layout") != "BSHD") throw Unsupported("layouts other than BSHD");
        for (const json& strategy : config.at("strategies"))
            if (strategy.at("mode") != "circular") throw Unsupported("modes other than circular");
        config_ = config;
        return reset();
    }

    json reset() {
        rings_.clear();
        for (const json& strategy : config_.at("strategies")) {
            const Ring ring(strategy.at("window"), strategy.at("sink_tokens"), strategy.at("rollback_tokens"), wrong_);
            rings_.emplace_back(config_.at("batch").get<std::size_t>(), ring);
        }
        return ok();
    }

    json update(const json& request) {
        for (const char* form : {"seq_len", "token_counts"})
            if (request.contains(form)) throw Unsupported(std::string("update with ") + form);
        std::vector<Ring>& rings = rings_.at(request.at("layer"));
        // (batch, tokens, kv_heads, dim). All is checked before the first ring changes.
        const auto keys = request.at("keys").get<std::vector<Rows>>();
        const auto values = request.at("values").get<std::vector<Rows>>();
        check(keys, rings.size(), keys.at(0).size(), config_.at("head_dim"), "keys");
        check(values, rings.size(), keys.at(0).size(), config_.at("value_dim"), "values");
        std::vector<View> views;
        for (std::size_t batch_row = 0; batch_row < rings.size(); ++batch_row)
            views.push_back(rings[batch_row].update(keys[batch_row], values[batch_row]));
        return ok(views);
    }

    json read(const json& request) const {
        std::vector<View> views;
        for (const Ring& ring : rings_.at(request.at("layer"))) views.push_back(ring.read());
        return ok(views);
    }

    // All layers or none.
    json truncate(long seq_len) {
        for (const auto& rings : rings_)
            for (const Ring& ring : rings) ring.check_truncate(seq_len);
        for (auto& rings : rings_)
            for (Ring& ring : rings) ring.truncate(seq_len);
        return ok();
    }

    // Throws unless the rows are (batch, tokens, kv_heads, dim).
    void check(const std::vector<Rows>& given, std::size_t batch, std::size_t tokens, std::size_t dim,
               const std::string& name) const {
        const std::size_t kv_heads = config_.at("kv_heads");
        bool fits = given.size() == batch;
        for (const Rows& rows : given) {
            fits = fits && rows.size() == tokens;
            for (const Row& row : rows) {
                fits = fits && row.size() == kv_heads;
                for (const auto& head : row) fits = fits && head.size() == dim;
            }
        }
        if (!fits) throw std::invalid_argument(name + ": wrong shape");
    }

    json ok() const {
        json seq_lens = json::array();  // (layers, batch)
        for (const auto& rings : rings_) {
            seq_lens.push_back(json::array());
            for (const Ring& ring : rings) seq_lens.back().push_back(ring.seq_len());
        }
        return {{"ok", true}, {"seq_lens", seq_lens}};
    }

    // The views of all batch rows; mask and positions are the same in each, as these caches are not ragged.
    json ok(const std::vector<View>& views) const {
        json result = ok();
        result["mask"] = views.at(0).mask;
        result["positions"] = views.at(0).positions;
        for (const View& view : views) {
            result["keys"].push_back(view.keys);
            result["values"].push_back(view.values);
        }
        return result;
    }

    bool wrong_;
    json config_;
    std::vector<std::vector<Ring>> rings_;  // (layers, batch)
};

int main(int argument_count, char** arguments) {
    const std::string which = argument_count == 2 ? arguments[1] : "";
    if (which != "right" && which != "wrong") {
        std::cerr << "usage: ring right|wrong\n";
        return 2;
    }
    Harness harness(which == "wrong");
    for (std::string line; std::getline(std::cin, line);)
        std::cout << harness.answer(json::parse(line)).dump() << std::endl;  // endl flushes: the driver is waiting
}
