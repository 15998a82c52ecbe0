"""Stock of a small warehouse: what lies where, what must be ordered, what has gone bad."""

from dataclasses import dataclass
from datetime import date, timedelta

SAFETY_DAYS = 14


@dataclass
class Item:
    """Something that can be sold."""

    sku: str
    quantity: int
    daily_sales: float
    expires: date | None = None


def reorder_point(item: Item, lead_days: int) -> int:
    """How low the stock may fall before a new order is placed: the sales until delivery, and a reserve for two weeks."""
    return round(item.daily_sales * (lead_days + SAFETY_DAYS))


def spoiled(items: list[Item], today: date) -> list[Item]:
    """Items whose shelf life has ended; they are written off, not discounted."""
    return [item for item in items if item.expires is not None and item.expires < today]


def discount(item: Item, today: date) -> float:
    """The price cut for goods that expire soon: 20 percent in the last ten days, half in the last three."""
    if item.expires is None:
        return 0.0
    left = item.expires - today
    if left <= timedelta(days=3):
        return 0.5
    return 0.2 if left <= timedelta(days=10) else 0.0


class Shelf:
    """A shelf with a weight that it can bear."""

    def __init__(self, label: str, max_load_kg: float) -> None:
        self.label = label
        self.max_load_kg = max_load_kg
        self.boxes: list[float] = []

    def put_box(self, weight_kg: float) -> None:
        """Place a box. Raises OverflowError when the boards would bend under it."""
        if sum(self.boxes) + weight_kg > self.max_load_kg:
            raise OverflowError(f"shelf {self.label} would carry too much")
        self.boxes.append(weight_kg)


def merge_duplicates(items: list[Item]) -> dict[str, Item]:
    """One entry for each SKU: quantities are added, the earliest expiry date wins."""
    merged: dict[str, Item] = {}
    for item in items:
        before = merged.get(item.sku)
        if before is None:
            merged[item.sku] = item
            continue
        dates = [each for each in (before.expires, item.expires) if each is not None]
        merged[item.sku] = Item(item.sku, before.quantity + item.quantity, before.daily_sales, min(dates, default=None))
    return merged
