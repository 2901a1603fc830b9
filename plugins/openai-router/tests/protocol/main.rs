//! The protocol from outside: requests in, inference requests and bytes out.

mod chat;
mod completions;
mod echo;
mod embeddings;
mod fuzz;
mod logprobs;
mod models;
mod refusals;
mod requests;
mod settings;
mod support;
mod tokenize;
