use std::collections::{BTreeMap, HashSet};
use std::{ptr, slice};

use serde_json::{Map, Value};

use super::references::target;
use crate::grammar::error::Problem;

/// Steps that are taken, and parts of schemas that are copied.
const MAX_WORK: usize = 100_000;

/// A text is copied as so many parts.
const BYTES_PER_PART: usize = 64;

/// Combinations within combinations; the library stops at 128.
const MAX_DEPTH: usize = 100;

/// The library searches for a text that both patterns match.
const WORK_PER_PATTERN_PAIR: usize = 400;

/// An object whose number of properties is limited is written out once for each property.
const WORK_PER_COUNTED_PAIR: usize = 4;

/// Keywords that say nothing about a value, or what [`Places::flatten`] goes into.
const NOT_OWN: [&str; 21] = [
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "allOf",
    "anyOf",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "description",
    "enum",
    "examples",
    "id",
    "oneOf",
    "readOnly",
    "title",
    "writeOnly",
];

type Members = Map<String, Value>;

/// How much work it is to combine schemas.
///
/// Of schemas that hold at the same place (`allOf`; a `$ref` or `anyOf` beside other keywords) the library makes one: for
/// each combination of their alternatives, and within it for each property that they share, again. So a short schema can
/// become a huge one. This goes the same way, but copies nothing, and gives up in time.
#[derive(Default)]
pub(super) struct Combinations {
    work: usize,
}

impl Combinations {
    /// Adds the work for one more schema.
    pub(super) fn add(&mut self, schema: &Value) -> Result<(), Problem> {
        let mut places = Places {
            root: schema,
            work: &mut self.work,
            todo: Vec::new(),
            seen: HashSet::new(),
        };
        places.add_alone(schema);
        while let Some(place) = places.todo.pop() {
            let mut together = Together::default();
            places.flatten(place.schemas, &mut together)?;
            places.choose(together, place.depth)?;
        }
        Ok(())
    }
}

/// The places in a text of the schema `root`.
struct Places<'a, 'w> {
    root: &'a Value,
    work: &'w mut usize,
    todo: Vec<Place<'a>>,
    /// Schemas that are, somewhere, all that holds: by address. They are compiled once.
    seen: HashSet<*const Value>,
}

struct Place<'a> {
    schemas: Vec<&'a Value>,
    /// How many places around this one combine schemas.
    depth: usize,
}

/// Schemas that hold together, sorted by what they demand.
#[derive(Clone, Default)]
struct Together<'a> {
    /// Those that say something themselves.
    plain: Vec<&'a Members>,
    /// One of each must hold, too.
    choices: Vec<&'a [Value]>,
    /// One of each must be the value.
    values: Vec<&'a [Value]>,
}

impl<'a> Places<'a, '_> {
    /// Adds schemas, and all that hold because of them.
    fn flatten(
        &mut self,
        mut schemas: Vec<&'a Value>,
        together: &mut Together<'a>,
    ) -> Result<(), Problem> {
        while let Some(schema) = schemas.pop() {
            self.spend(1)?;
            let Value::Object(members) = schema else {
                continue;
            };
            if let Some(target) = only_reference(members, self.root)
                && schemas.is_empty()
                && together.is_empty()
            {
                // Not combined with anything, its target is referred to.
                self.add_alone(target);
                continue;
            }
            if members
                .keys()
                .any(|keyword| !NOT_OWN.contains(&keyword.as_str()))
            {
                together.plain.push(members);
            }
            for (keyword, value) in members {
                match (keyword.as_str(), value) {
                    ("$ref", Value::String(reference)) => {
                        schemas.extend(target(self.root, reference));
                    }
                    ("allOf", Value::Array(all)) => schemas.extend(all),
                    ("anyOf" | "oneOf", Value::Array(any)) => together.choices.push(any),
                    ("enum", Value::Array(values)) => together.values.push(values),
                    ("const", value) => together.values.push(slice::from_ref(value)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Goes through the combinations of choices.
    fn choose(&mut self, mut together: Together<'a>, depth: usize) -> Result<(), Problem> {
        let Some(options) = together.choices.pop() else {
            return self.descend(&together, depth);
        };
        for option in options {
            if together.is_empty() {
                self.add_alone(option);
                continue;
            }
            self.spend(together.choices.len() + together.plain.len())?;
            for values in &together.values {
                self.spend(values.iter().map(parts).sum())?;
            }
            let mut together = together.clone();
            self.flatten(vec![option], &mut together)?;
            self.choose(together, depth)?;
        }
        Ok(())
    }

    /// Goes on to the places within a value.
    fn descend(&mut self, together: &Together<'a>, depth: usize) -> Result<(), Problem> {
        let combinations = together
            .values
            .iter()
            .fold(1usize, |all, values| all.saturating_mul(values.len()));
        self.spend(combinations)?;

        let plain = &together.plain;
        for schema in plain {
            self.spend(1 + schema.get("required").map_or(0, parts))?;
        }
        let mut properties = by_name(plain, "properties");
        let mut patterns = by_name(plain, "patternProperties");
        self.spend(patterns.len().pow(2) * WORK_PER_PATTERN_PAIR)?;
        if plain.iter().any(|schema| {
            schema.contains_key("minProperties") || schema.contains_key("maxProperties")
        }) {
            self.spend(properties.len().pow(2) * WORK_PER_COUNTED_PAIR)?;
        }
        for (name, schemas) in &mut properties {
            self.spend(name.len() / BYTES_PER_PART)?;
            // Which patterns match a name is not worth telling here.
            schemas.extend(patterns.values().flatten());
        }
        add_others(plain, "properties", &mut properties);
        add_others(plain, "patternProperties", &mut patterns);
        for schemas in properties.into_values().chain(patterns.into_values()) {
            self.add(schemas, depth)?;
        }
        let others = plain
            .iter()
            .filter_map(|schema| schema.get("additionalProperties"));
        self.add(others.collect(), depth)?;

        let (first, rest) = items(plain);
        for mut schemas in first {
            if plain.len() > 1 {
                // Holds where one list is longer than the other.
                schemas.extend(&rest);
            }
            self.add(schemas, depth)?;
        }
        self.add(rest, depth)
    }

    fn add(&mut self, schemas: Vec<&'a Value>, depth: usize) -> Result<(), Problem> {
        match schemas[..] {
            [] => Ok(()),
            [schema] if self.add_alone(schema) => Ok(()),
            // Compiled already, it is copied.
            [schema] => self.spend(parts(schema)),
            _ if depth == MAX_DEPTH => Err(Problem::TooLarge(format!(
                "it combines schemas (allOf, or $ref, anyOf or oneOf beside other keywords) within each other more than \
                 {MAX_DEPTH} deep"
            ))),
            _ => {
                self.todo.push(Place {
                    schemas,
                    depth: depth + 1,
                });
                Ok(())
            }
        }
    }

    /// Whether the schema was new.
    fn add_alone(&mut self, schema: &'a Value) -> bool {
        let new = self.seen.insert(ptr::from_ref(schema));
        if new {
            self.todo.push(Place {
                schemas: vec![schema],
                depth: 0,
            });
        }
        new
    }

    fn spend(&mut self, work: usize) -> Result<(), Problem> {
        *self.work = self.work.saturating_add(work);
        if *self.work > MAX_WORK {
            return Err(Problem::TooLarge(format!(
                "combining its parts (allOf, or $ref, anyOf, oneOf or enum beside other keywords) takes more than {MAX_WORK} \
                 steps"
            )));
        }
        Ok(())
    }
}

impl Together<'_> {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.choices.is_empty() && self.values.is_empty()
    }
}

fn only_reference<'a>(members: &'a Members, root: &'a Value) -> Option<&'a Value> {
    let combines = |keyword: &str| {
        !NOT_OWN.contains(&keyword)
            || matches!(keyword, "allOf" | "anyOf" | "const" | "enum" | "oneOf")
    };
    if members.keys().any(|keyword| combines(keyword)) {
        return None;
    }
    target(root, members.get("$ref")?.as_str()?)
}

fn members<'a>(schema: &'a Members, keyword: &str) -> Option<&'a Members> {
    schema.get(keyword)?.as_object()
}

/// What the schemas say under `keyword`, put together by name.
fn by_name<'a>(plain: &[&'a Members], keyword: &str) -> BTreeMap<&'a str, Vec<&'a Value>> {
    let mut named: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for schema in plain {
        for (name, value) in members(schema, keyword).into_iter().flatten() {
            named.entry(name).or_default().push(value);
        }
    }
    named
}

/// A schema also says what the names are that it does not list.
fn add_others<'a>(
    plain: &[&'a Members],
    keyword: &str,
    named: &mut BTreeMap<&'a str, Vec<&'a Value>>,
) {
    for schema in plain {
        let Some(other) = schema.get("additionalProperties") else {
            continue;
        };
        let listed = members(schema, keyword);
        for (name, schemas) in &mut *named {
            if listed.is_none_or(|listed| !listed.contains_key(*name)) {
                schemas.push(other);
            }
        }
    }
}

/// What holds for each of the first items of an array, and what for the others.
fn items<'a>(plain: &[&'a Members]) -> (Vec<Vec<&'a Value>>, Vec<&'a Value>) {
    let mut first: Vec<Vec<&Value>> = Vec::new();
    let mut rest: Vec<&Value> = Vec::new();
    for schema in plain {
        // In older drafts, `items` may be what is `prefixItems` now.
        for keyword in ["prefixItems", "items", "additionalItems"] {
            match schema.get(keyword) {
                Some(Value::Array(items)) => {
                    first.resize(first.len().max(items.len()), Vec::new());
                    for (schemas, item) in first.iter_mut().zip(items) {
                        schemas.push(item);
                    }
                }
                Some(schema) => rest.push(schema),
                None => {}
            }
        }
    }
    (first, rest)
}

/// What there is to copy of a schema.
fn parts(schema: &Value) -> usize {
    let text = |text: &str| text.len() / BYTES_PER_PART;
    let inner = match schema {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| text(name) + parts(value))
            .sum(),
        Value::Array(values) => values.iter().map(parts).sum(),
        Value::String(string) => text(string),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    1 + inner
}
