"""A STAC API of stac-fastapi, which checks every request against the specification: ITEMS.json PORT."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from stac_fastapi.api.app import StacApi
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import BaseCoreClient

COLLECTION: dict[str, Any] = {
    "type": "Collection", "id": "s2", "stac_version": "1.0.0", "description": "d", "license": "MIT", "links": [],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
}  # fmt: skip


class Items(BaseCoreClient):
    """Answers searches from a list; the rest is of no use here."""

    def post_search(self, search_request: Any, **_: Any) -> Any:
        box, first, last = search_request.bbox, search_request.start_date, search_request.end_date

        def fits(item: dict[str, Any]) -> bool:
            west, south, east, north = item["bbox"]
            meets = west <= box[2] and east >= box[0] and south <= box[3] and north >= box[1]
            return meets and first <= datetime.fromisoformat(item["properties"]["datetime"]) <= last

        mine = [i for i in json.loads(Path(sys.argv[1]).read_text()) if i["collection"] in search_request.collections]
        found = [i for i in mine if fits(i)]
        return {"type": "FeatureCollection", "features": found, "links": []}

    def all_collections(self, **_: Any) -> Any:
        return {"collections": [COLLECTION], "links": []}

    def get_collection(self, *_: Any, **__: Any) -> Any:
        return COLLECTION

    def get_search(self, *_: Any, **__: Any) -> Any: ...

    def get_item(self, *_: Any, **__: Any) -> Any: ...

    def item_collection(self, *_: Any, **__: Any) -> Any: ...


if __name__ == "__main__":
    api = StacApi(settings=ApiSettings(), client=Items(), extensions=[])
    uvicorn.run(api.app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
