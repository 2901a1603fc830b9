//! The server as its clients see it: real plugins (and hostile ones), a real tokenizer, HTTP over loopback. Only the model is
//! a stand-in, whose tokens are a function of the prompt.

mod access;
mod connections;
mod contract;
mod drain;
mod functions;
mod hostile;
mod keys;
mod load;
mod metrics;
mod reload;
mod sampling;
mod support;
mod surface;
mod tls;
mod transcripts;
