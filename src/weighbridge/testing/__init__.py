"""Fakes and hostile inputs for tests, of weighbridge itself and of third-party units."""
