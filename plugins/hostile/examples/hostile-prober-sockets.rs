//! A function that would open a socket, which no host offers to any plugin: it must be refused before it runs.
#![cfg(target_arch = "wasm32")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::sockets::{network::IpAddressFamily, tcp_create_socket};

struct Prober;

impl Guest for Prober {
    fn handle(_: IncomingRequest, _: ResponseOutparam) {
        let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4);
        panic!("the host let a prober have a socket: {}", socket.is_ok());
    }
}

wasip2::http::proxy::export!(Prober);
