//! request-shaper
