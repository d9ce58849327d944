"""The doubles have every method of the interfaces they stand for, with the same arguments."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from dpip.interfaces import IAdmission, IController, IImageStore, IIncomingFile
from tests.api.fixture import ApiTest


class DoublesTests(ApiTest):
    def test_interfaces(self) -> None:
        admin = self.successResultOf(self.controller.authenticate(self.admin))
        incoming = self.store.incoming()
        self.addCleanup(incoming.abandon)
        self.assertTrue(verifyObject(IController, self.controller))
        self.assertTrue(verifyObject(IImageStore, self.store))
        self.assertTrue(verifyObject(IIncomingFile, incoming))
        self.assertTrue(verifyObject(IAdmission, self.controller.admit_upload(admin, None)))
