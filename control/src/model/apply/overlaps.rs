//! Prefixes of tenants, and the far ends of their tunnels, against each other. All are walked in order, once.

use ipnet::IpNet;

use super::Applying;
use crate::model::{Cause, Refused, Tenant};

impl Applying<'_> {
    /// A prefix of one tenant in one of another's, and a tunnel whose packets would come back to be sent again.
    pub(super) fn check_overlaps(&self) -> Result<(), Refused> {
        let mut tunnels = self.book.tunnel_ends.iter().peekable();
        let mut outer: Option<(IpNet, u32)> = None;
        // What holds a prefix stands before it, and all that it holds right behind it.
        for (net, id) in self.book.tenant_prefixes.iter() {
            if let Some((around, owner)) = outer.filter(|(around, _)| around.contains(net)) {
                if owner != *id {
                    return Err(self.overlap((around, owner), (*net, *id)));
                }
                continue;
            }
            outer = Some((*net, *id));
            while tunnels.next_if(|((remote, ..), _)| *remote < net.network()).is_some() {}
            if let Some(((remote, ..), tunnel)) = tunnels.peek()
                && net.contains(remote)
            {
                return Err(self.recursion(**tunnel, (*net, *id)));
            }
        }
        Ok(())
    }

    fn overlap(&self, outer: (IpNet, u32), inner: (IpNet, u32)) -> Refused {
        let is_touched = |id: u32| self.touched.tenants().any(|other| *other == id);
        let ((own, id), (other, owner)) =
            if is_touched(inner.1) { (inner, outer) } else { (outer, inner) };
        let (Some(tenant), Some(owner)) = (self.book.tenant(id), self.book.tenant(owner)) else {
            return Refused::new(Cause::Conflict, format!("{own} and {other} overlap"));
        };
        let what = format!(
            "{own} of tenant {} overlaps {other} of tenant {} ({}); each address has one owner",
            tenant.name,
            owner.name,
            self.book.place(owner.origin)
        );
        self.wrong(Cause::Conflict, tenant.origin, "prefixes", what)
    }

    fn recursion(&self, tunnel: u32, (net, owner): (IpNet, u32)) -> Refused {
        let title = |tenant: &Tenant| {
            format!("tenant {} ({})", tenant.name, self.book.place(tenant.origin))
        };
        let owner = self.book.tenant(owner).map_or_else(String::new, |owner| title(owner));
        let Some((_, tunnel)) = self.book.tunnel(tunnel) else {
            return Refused::new(Cause::Conflict, format!("a tunnel ends in {net} of {owner}"));
        };
        let what = format!(
            "{} is in {net} of {owner}: its packets would come back here; name an address outside of it",
            tunnel.remote
        );
        self.wrong_tunnel(Cause::Conflict, tunnel, "remote", &what)
    }
}
