"""Prints the OpenAPI document of the API: `python -m webhook > mobile/openapi.json`."""

import json
import sys
from decimal import Decimal

from jobs.queue.store import Store, connect
from webhook.api import Api
from webhook.openapi import document
from webhook.person import GitHub
from webhook.shown import View

# Neither of the two makes a connection before it is asked something.
api = Api(
    Store(connect("redis://127.0.0.1")),
    GitHub("http://127.0.0.1", "", ""),
    (),
    View("", Decimal(0)),
)
sys.stdout.write(json.dumps(document(api.operations()), indent=2) + "\n")
