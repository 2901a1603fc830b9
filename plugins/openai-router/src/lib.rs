//! openai-router
