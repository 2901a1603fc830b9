//! The smallest function: answers `Hello.`, or, where the path ends in `/echo`, sends the request's body back as it comes.
//!
//! For authors who look for a beginning, and for the benchmark, which measures what a call of a function costs by itself.

use std::io::{self, Write};

use plugin_sdk::function::{Function, Request, Responder};
use plugin_sdk::{ApiError, Header, register};

/// The function.
pub struct Hello;

impl Function for Hello {
    fn handle(mut request: Request, response: Responder) -> Result<(), ApiError> {
        let text = Header::new("content-type", "text/plain; charset=utf-8");
        if !request.path.ends_with("/echo") {
            return response.send(200, vec![text], "Hello.\n");
        }
        let same = request
            .headers
            .iter()
            .find(|header| header.name == "content-type")
            .cloned();
        let mut answer = response.start(200, vec![same.unwrap_or(text)])?;
        echo(&mut request, &mut answer)?;
        Ok(())
    }
}

/// Passes each piece on before it waits for the next one.
fn echo(request: &mut Request, answer: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        match io::Read::read(request.body(), &mut buffer)? {
            0 => return Ok(()),
            len => answer.write_all(&buffer[..len])?,
        }
        answer.flush()?;
    }
}

register!(function: Hello);

#[cfg(test)]
mod tests {
    use plugin_sdk::mock::{self, Ending, Request};

    use super::*;

    #[test]
    fn any_path_is_answered_with_the_same_text() {
        let answer = mock::call::<Hello>(Request::get("/fn/hello"));
        assert_eq!((answer.status, answer.text()), (200, "Hello.\n".to_owned()));
        assert_eq!(answer.header("content-length"), Some("7"));
    }

    #[test]
    fn an_echo_passes_each_piece_on_as_it_comes() {
        let request = Request::new("POST", "/fn/hello/echo")
            .with_header("content-type", "application/x-pieces")
            .with_body(["one", "two"]);
        let answer = mock::call::<Hello>(request);
        assert_eq!(answer.pieces, [b"one", b"two"]);
        assert_eq!(answer.header("content-type"), Some("application/x-pieces"));
        assert_eq!(answer.ending, Ending::Finished);
    }

    #[test]
    fn an_echo_ends_when_its_client_leaves() {
        let request = Request::post("/fn/hello/echo", vec![7; 100_000]).leaving_after(20_000);
        assert_eq!(mock::call::<Hello>(request).ending, Ending::ClientLeft);
    }
}
