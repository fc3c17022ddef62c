//! Addresses that may be called: those of the public internet, so that nobody makes the platform call what only the
//! platform can reach. Looked at after the name was resolved, on the very addresses that are connected to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::LazyLock,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Blocks of the IANA special-purpose registries (RFC 6890 and its successors) that are not reached over the public
/// internet, and multicast.
const CLOSED: [&str; 16] = [
    "0.0.0.0/8",       // this network
    "10.0.0.0/8",      // private use
    "100.64.0.0/10",   // shared by carriers
    "127.0.0.0/8",     // loopback
    "169.254.0.0/16",  // link-local, where clouds keep their metadata
    "172.16.0.0/12",   // private use
    "192.0.0.0/24",    // protocol assignments
    "192.0.2.0/24",    // documentation
    "192.88.99.0/24",  // relays of 6to4, deprecated
    "192.168.0.0/16",  // private use
    "198.18.0.0/15",   // benchmarks
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/3",     // multicast, reserved, broadcast
    "2001::/23",       // protocol assignments, Teredo among them
    "2001:db8::/32",   // documentation
];

/// All of IPv6 that was given out to anybody, save for what is closed above.
const GLOBAL_UNICAST: &str = "2000::/3";

struct Blocks {
    closed: Vec<IpNet>,
    global_unicast: Option<IpNet>,
}

static BLOCKS: LazyLock<Blocks> = LazyLock::new(|| Blocks {
    closed: CLOSED.iter().filter_map(|block| block.parse().ok()).collect(),
    global_unicast: GLOBAL_UNICAST.parse().ok(),
});

/// Whether this is an address of the public internet. An IPv6 address that carries an IPv4 address is judged by that.
pub fn is_public(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(v6) => carried(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    if BLOCKS.closed.iter().any(|block| block.contains(&address)) {
        return false;
    }
    address.is_ipv4() || BLOCKS.global_unicast.is_some_and(|block| block.contains(&address))
}

/// The IPv4 address in one that is mapped (`::ffff:0:0/96`), translated (`64:ff9b::/96`) or tunnelled (`2002::/16`).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(four(high, low)),
        _ => None,
    }
}

/// A name had no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("the address is not public")]
pub(super) struct NotPublic;

/// Resolves names as the system does, and keeps the public addresses only.
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_called() {
        let public = |text: &str| is_public(text.parse().unwrap());
        assert_eq!(BLOCKS.closed.len(), CLOSED.len(), "every block reads");
        for open in ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(public(open), "{open}");
        }
        for open in ["::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"] {
            assert!(public(open), "{open} carries a public address");
        }
        for closed in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "64:ff9b:1::1",
            "100::1",
            "5f00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
        ] {
            assert!(!public(closed), "{closed}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_resolves_to_nothing() {
        let refused = PublicOnly.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(refused.is::<NotPublic>(), "{refused}");
    }
}
