//! From the form that a request asks for to what holds the engine to it.

use std::sync::Arc;

use engine::{
    TokenId,
    constraint::{Constraint, Next, TokenMask},
};
use http::StatusCode;
use sandbox::ApiError;
use text::{Allowed, Form, Grammar, GrammarError};

use crate::{
    app::App,
    error::{invalid, refusal},
};

/// The contract's name for the form of an answer; routers put their client's own.
pub(crate) const PARAM: &str = "constraint";

/// Reads a form, which came from the field `param`. A large one takes a while, in which other requests' tokens must not wait.
pub(crate) async fn compile(
    app: &Arc<App>,
    form: &sandbox::Constraint,
    param: &'static str,
) -> Result<Box<dyn Constraint>, ApiError> {
    let form = match form.clone() {
        sandbox::Constraint::JsonObject => Form::JsonObject,
        sandbox::Constraint::JsonSchema(schema) => Form::JsonSchema(schema),
        sandbox::Constraint::Regex(pattern) => Form::Regex(pattern),
        sandbox::Constraint::Lark(grammar) => Form::Lark(grammar),
    };
    let permit = app.compilers.clone().acquire_owned().await;
    let permit = permit.expect("nobody closes it");
    let app = app.clone();
    let compile = move || {
        // To the end of the work, even where its client has left.
        let _permit = permit;
        let grammars = app.grammars().map_err(|error| broken(&error))?;
        let compiled = grammars.compile(&form);
        compiled.map_err(|error| match error {
            GrammarError::Thread { .. } => broken(&error),
            _ => invalid(param, error.to_string()),
        })
    };
    let compiled = tokio::task::spawn_blocking(compile).await;
    let grammar = compiled.map_err(|stopped| broken(&stopped))??;
    Ok(Box::new(Held(grammar)))
}

fn broken(error: &dyn std::error::Error) -> ApiError {
    let message = format!("answers cannot be held to a form: {error}");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// An answer held to a grammar.
struct Held(Grammar);

impl Held {
    fn next(&mut self) -> Result<Next, String> {
        Ok(match self.0.allowed()? {
            Allowed::Tokens(words) => Next::Among(TokenMask::from_words(words)),
            Allowed::Complete => Next::Complete,
        })
    }
}

impl Constraint for Held {
    fn start(&mut self) -> Result<Next, String> {
        self.next()
    }

    fn advance(&mut self, token: TokenId) -> Result<Next, String> {
        self.0.advance(token)?;
        self.next()
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(Self(self.0.clone()))
    }
}
