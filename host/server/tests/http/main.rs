//! The server as its clients see it: real plugins (and hostile ones), a real tokenizer, HTTP over loopback. Only the model is
//! a stand-in, whose tokens are a function of the prompt.

mod contract;
mod functions;
mod hostile;
mod load;
mod reload;
mod sampling;
mod support;
mod surface;
