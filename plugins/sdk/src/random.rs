//! Unpredictable bytes from the host's operating system, fit for keys and tokens. Needs the grant `random`.

/// `len` bytes. The host gives at most 65,536 at a time; more are fetched in several calls.
pub fn bytes(len: usize) -> Vec<u8> {
    const MAX_CALL_LEN: usize = 65_536;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let missing = (len - bytes.len()).min(MAX_CALL_LEN);
        bytes.extend(draw(missing as u32));
    }
    bytes
}

/// A number, each as likely as the other.
pub fn u64() -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes(8));
    u64::from_le_bytes(number)
}

#[cfg(target_arch = "wasm32")]
fn draw(len: u32) -> Vec<u8> {
    crate::bindings::shared::lm::plugin::random::bytes(len)
}

#[cfg(not(target_arch = "wasm32"))]
fn draw(len: u32) -> Vec<u8> {
    crate::mock::random_bytes(len)
}

#[cfg(test)]
mod tests {
    use crate::{mock, random};

    #[test]
    fn more_bytes_than_the_host_gives_at_once_are_fetched_in_pieces() {
        assert_eq!(random::bytes(65_537).len(), 65_537);
        assert_eq!(random::bytes(0).len(), 0);
    }

    #[test]
    fn the_same_seed_gives_a_test_the_same_bytes() {
        mock::set_seed(7);
        let first = (random::u64(), random::bytes(9));
        mock::set_seed(7);
        assert_eq!((random::u64(), random::bytes(9)), first);
        mock::set_seed(8);
        assert_ne!(random::u64(), first.0);
    }
}
