//! chat-template
