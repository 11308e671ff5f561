//! The harness: requests come as lines of JSON on stdin, answers go as lines of JSON to stdout. It has no opinion on
//! what is right; it hands rows to the ring and reports what the ring shows. To test a cache of your own, replace
//! `Ring` and what the functions from `setup` to `truncate` do with it.

mod ring;

use std::io::{stdin, stdout, BufRead, Write};

use ring::{Ring, Row, View};
use serde_json::{from_value, json, Value};

/// The answer to a request, or the answer that says why it was not performed.
type Answer = Result<Value, Value>;

/// Refused; nothing has changed.
fn error(why: impl ToString) -> Value {
    json!({ "error": why.to_string() })
}

/// The cache has no such thing; that is skipped, not held against it.
fn unsupported(why: impl ToString) -> Value {
    json!({ "unsupported": why.to_string() })
}

struct Harness {
    wrong: bool,
    config: Value,
    rings: Vec<Vec<Ring>>, // (layers, batch)
}

impl Harness {
    fn perform(&mut self, mut request: Value) -> Answer {
        match request["op"].as_str().unwrap_or("") {
            "hello" => self.hello(&request),
            "setup" => self.setup(request["config"].take()),
            "update" => self.update(request),
            "read" => self.read(&request),
            "truncate" => self.truncate(&request),
            "reset" => self.reset(),
            op => Err(unsupported(format!("no operation {op}"))),
        }
    }

    /// What the cache is good for. Words not given here have the defaults of `kvring.testing.Supports`.
    fn hello(&self, request: &Value) -> Answer {
        if request["contract"] != 1 {
            return Err(unsupported("contracts other than 1"));
        }
        Ok(json!({
            "name": if self.wrong { "ring_rust wrong" } else { "ring_rust right" },
            "supports": {
                "modes": ["circular"],
                "row_order": "temporal",
                "mixed_layers": true,
                "special_values": false, // JSON has no NaN
                "ragged": [],
            },
        }))
    }

    fn setup(&mut self, config: Value) -> Answer {
        if config["layout"] != "BSHD" {
            return Err(unsupported("layouts other than BSHD"));
        }
        for strategy in strategies(&config)? {
            if strategy["mode"] != "circular" {
                return Err(unsupported("modes other than circular"));
            }
        }
        self.config = config;
        self.reset()
    }

    fn reset(&mut self) -> Answer {
        let batch = number(&self.config, "batch")?;
        let mut rings = Vec::new();
        for strategy in strategies(&self.config)? {
            let window = number(strategy, "window")?;
            let sink_tokens = number(strategy, "sink_tokens")?;
            let rollback_tokens = number(strategy, "rollback_tokens")?;
            let ring = Ring::new(window, sink_tokens, rollback_tokens, self.wrong);
            rings.push(vec![ring; batch]);
        }
        self.rings = rings;
        Ok(self.done())
    }

    fn update(&mut self, mut request: Value) -> Answer {
        for form in ["seq_len", "token_counts"] {
            if !request[form].is_null() {
                return Err(unsupported(format!("update with {form}")));
            }
        }
        // All is checked before the first ring changes.
        let layer = self.layer(&request)?;
        let keys = self.rows(request["keys"].take(), "head_dim")?;
        let values = self.rows(request["values"].take(), "value_dim")?;
        let tokens = keys[0].len();
        if keys.iter().chain(&values).any(|rows| rows.len() != tokens) {
            return Err(error("keys and values: token counts differ"));
        }
        let mut views = Vec::new();
        for (batch_row, ring) in self.rings[layer].iter_mut().enumerate() {
            views.push(ring.update(&keys[batch_row], &values[batch_row]));
        }
        Ok(self.show(views))
    }

    fn read(&self, request: &Value) -> Answer {
        let layer = self.layer(request)?;
        Ok(self.show(self.rings[layer].iter().map(Ring::read).collect()))
    }

    /// All layers or none.
    fn truncate(&mut self, request: &Value) -> Answer {
        let seq_len = number(request, "seq_len")?;
        for ring in self.rings.iter().flatten() {
            ring.check_truncate(seq_len).map_err(error)?;
        }
        for ring in self.rings.iter_mut().flatten() {
            ring.truncate(seq_len);
        }
        Ok(self.done())
    }

    /// `layer` of a request, checked.
    fn layer(&self, request: &Value) -> Result<usize, Value> {
        let layer = number(request, "layer")?;
        if layer >= self.rings.len() {
            return Err(error(format!("no layer {layer}")));
        }
        Ok(layer)
    }

    /// K or V of a request, `(batch, tokens, kv_heads, dim)`, checked.
    fn rows(&self, given: Value, dim: &str) -> Result<Vec<Vec<Row>>, Value> {
        let batch = number(&self.config, "batch")?;
        let kv_heads = number(&self.config, "kv_heads")?;
        let dim = number(&self.config, dim)?;
        let rows: Vec<Vec<Row>> = from_value(given).map_err(error)?;
        let fits = |row: &Row| row.len() == kv_heads && row.iter().all(|head| head.len() == dim);
        if rows.len() != batch || !rows.iter().flatten().all(fits) {
            let shape = format!("({batch}, tokens, {kv_heads}, {dim})");
            return Err(error(format!("keys and values: expected {shape}")));
        }
        Ok(rows)
    }

    fn done(&self) -> Value {
        let of_layer = |rings: &Vec<Ring>| rings.iter().map(Ring::seq_len).collect::<Vec<_>>();
        json!({ "ok": true, "seq_lens": self.rings.iter().map(of_layer).collect::<Vec<_>>() })
    }

    /// The views of all batch rows; mask and positions are the same in each, as these caches are not ragged.
    fn show(&self, views: Vec<View>) -> Value {
        let mut answer = self.done();
        answer["mask"] = json!(views[0].mask);
        answer["positions"] = json!(views[0].positions);
        answer["keys"] = views.iter().map(|view| json!(view.keys)).collect();
        answer["values"] = views.iter().map(|view| json!(view.values)).collect();
        answer
    }
}

/// A number that must be there, and not below 0.
fn number(object: &Value, name: &str) -> Result<usize, Value> {
    match object[name].as_u64() {
        Some(number) => Ok(number as usize),
        None => Err(error(format!("{name}: expected a number >= 0"))),
    }
}

/// One entry per layer.
fn strategies(config: &Value) -> Result<&Vec<Value>, Value> {
    let strategies = config["strategies"].as_array();
    strategies.ok_or_else(|| error("strategies: expected a list"))
}

fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    if which != "right" && which != "wrong" {
        eprintln!("usage: ring right|wrong");
        std::process::exit(2);
    }
    let mut harness = Harness {
        wrong: which == "wrong",
        config: Value::Null,
        rings: vec![],
    };
    for line in stdin().lock().lines() {
        let request = serde_json::from_str(&line.expect("stdin is UTF-8")).expect("a line of JSON");
        let answer = harness.perform(request).unwrap_or_else(|no| no);
        writeln!(stdout(), "{answer}").expect("stdout is open");
        stdout().flush().expect("stdout is open"); // the driver is waiting
    }
}
