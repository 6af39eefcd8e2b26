//! Kubernetes' own OpenAPI schemas, in the strict form that allows no unknown field, and as much of JSON Schema as they
//! use. The files in `tests/data/kubernetes` are those definitions that our objects reach, without their prose; those of
//! the Prometheus Operator (by the npm package `@kubernetes-models/prometheus-operator` 6.0.0) with names only for fields
//! that we do not use.

use std::collections::BTreeMap;

use serde_json::Value;

/// The definitions of one version of Kubernetes, and of what extends it.
#[derive(Debug)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    pub(super) fn parse(texts: &[String]) -> Self {
        let parse = |text: &String| serde_json::from_str::<BTreeMap<_, _>>(text).expect("definitions");
        Self(texts.iter().flat_map(parse).collect())
    }

    /// What is wrong with an object, each with its place. The kind says which definition holds; `None` where there is
    /// none.
    pub(super) fn check(&self, object: &Value) -> Option<Vec<String>> {
        let kind = object["kind"].as_str().expect("a kind");
        let definition = self.0.iter().find(|(name, _)| name.rsplit('.').next() == Some(kind));
        let mut wrong = Vec::new();
        self.value(definition?.1, object, kind, &mut wrong);
        Some(wrong)
    }

    fn value(&self, schema: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
        for (keyword, rule) in schema.as_object().expect("a schema") {
            match keyword.as_str() {
                "$ref" => self.value(&self.0[rule.as_str().expect("a name")], value, place, wrong),
                "type" if !has_type(rule, value) => wrong.push(format!("{place}: {value} is not of type {rule}")),
                "enum" if !rule.as_array().expect("values").contains(value) => {
                    wrong.push(format!("{place}: {value} is not one of {rule}"));
                }
                "oneOf" => {
                    let fits = |schema: &&Value| {
                        let mut wrong = Vec::new();
                        self.value(schema, value, place, &mut wrong);
                        wrong.is_empty()
                    };
                    if rule.as_array().expect("schemas").iter().filter(fits).count() != 1 {
                        wrong.push(format!("{place}: {value} fits none or several of {rule}"));
                    }
                }
                "required" => {
                    let names = rule.as_array().expect("names").iter().filter_map(Value::as_str);
                    wrong.extend(names.filter(|name| value[name].is_null()).map(|name| format!("{place}: no {name}")));
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(rule, item, &format!("{place}[{number}]"), wrong);
                    }
                }
                "properties" | "type" | "enum" => {}
                "additionalProperties" => self.fields(schema, value, place, wrong),
                other => panic!("the schemas use {other} now"),
            }
        }
        if schema.get("additionalProperties").is_none() && schema.get("properties").is_some() {
            self.fields(schema, value, place, wrong);
        }
    }

    fn fields(&self, schema: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
        for (name, field) in value.as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(known), _) => self.value(known, field, &place, wrong),
                (None, Value::Bool(false)) => wrong.push(format!("{place}: no such field")),
                (None, Value::Object(_)) => self.value(&schema["additionalProperties"], field, &place, wrong),
                (None, _) => {}
            }
        }
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        other => panic!("the schemas use the type {other:?} now"),
    };
    rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
}
