//! The protocol from outside: requests in, inference requests and bytes out.

mod chat;
mod completions;
mod content_type;
mod echo;
mod embeddings;
mod fuzz;
mod logprobs;
mod models;
mod refusals;
mod requests;
mod responses;
mod settings;
mod support;
mod tokenize;
