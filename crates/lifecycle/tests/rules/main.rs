//! The rules of a service's life, told as stories with a made-up clock; simulations of services that crash; and
//! random histories against a reference model.

mod histories;
mod ledger;
mod outside;
mod reference;
mod reports;
mod requests;
mod restored;
mod storms;
mod story;
