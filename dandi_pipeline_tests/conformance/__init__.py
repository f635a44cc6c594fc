"""Promises that every platform keeps, written once; a platform joins by a module of its name here."""
