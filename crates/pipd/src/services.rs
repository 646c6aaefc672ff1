//! The services of one workspace: in the order of the configuration, and found by name without a search.

use std::collections::HashMap;
use std::sync::Arc;

use crate::service::Service;

/// Services with their names. A name is there once.
#[derive(Default)]
pub(crate) struct Services {
    list: Vec<(Arc<str>, Service)>,
    /// Where in `list` a name is.
    places: HashMap<Arc<str>, usize>,
}

impl Services {
    pub(crate) fn get(&self, name: &str) -> Option<&Service> {
        self.entry(name).map(|(_, service)| service)
    }

    /// With the name as it is kept here.
    pub(crate) fn entry(&self, name: &str) -> Option<&(Arc<str>, Service)> {
        self.list.get(*self.places.get(name)?)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Service> {
        self.list.get_mut(*self.places.get(name)?).map(|(_, service)| service)
    }

    /// Appends one; a name that is there already keeps its service.
    pub(crate) fn push(&mut self, (name, service): (Arc<str>, Service)) {
        if !self.places.contains_key(&name) {
            self.places.insert(Arc::clone(&name), self.list.len());
            self.list.push((name, service));
        }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (Arc<str>, Service)> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Service)> {
        self.list.iter_mut().map(|(name, service)| (&*name, service))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

impl Extend<(Arc<str>, Service)> for Services {
    fn extend<I: IntoIterator<Item = (Arc<str>, Service)>>(&mut self, services: I) {
        services.into_iter().for_each(|service| self.push(service));
    }
}

impl FromIterator<(Arc<str>, Service)> for Services {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Service)>>(services: I) -> Self {
        let mut collected = Self::default();
        collected.extend(services);
        collected
    }
}

impl IntoIterator for Services {
    type Item = (Arc<str>, Service);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Services {
    type Item = &'a (Arc<str>, Service);
    type IntoIter = std::slice::Iter<'a, (Arc<str>, Service)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> (Arc<str>, Service) {
        let spec = serde_json::json!({"name": name, "argv": ["/bin/true"], "cwd": "/"});
        let spec = serde_json::from_value(spec).unwrap();
        (name.into(), Service::new(spec, lifecycle::Service::new()))
    }

    #[test]
    fn names_are_found_and_the_order_stays() {
        let mut services: Services = ["b", "a", "c"].into_iter().map(service).collect();
        let order =
            |services: &Services| services.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        assert_eq!(order(&services), ["b", "a", "c"]);
        for name in ["a", "b", "c"] {
            assert_eq!(services.get(name).unwrap().spec.name, name);
            assert_eq!(&*services.entry(name).unwrap().0, name);
        }
        assert!(services.get("d").is_none());
        services.get_mut("c").unwrap().port = Some(1);
        let mut twin = service("c");
        twin.1.port = Some(2);
        services.push(twin);
        assert_eq!((services.len(), services.get("c").unwrap().port), (3, Some(1)));
        services.iter_mut().for_each(|(_, service)| service.port = None);
        let rest: Services = services.into_iter().filter(|(name, _)| **name != *"b").collect();
        assert_eq!(order(&rest), ["a", "c"]);
        assert_eq!(rest.get("c").unwrap().port, None);
    }
}
