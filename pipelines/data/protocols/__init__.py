"""The data sets that the field measures on, as people download them -> rows that our loader reads.

One module each: the layout it expects, where it is from, and the split that its papers measure on,
which is always called `test` here, whatever the data call it.
"""

from pipelines.data.protocols import (
    aic_icc,
    coco_14,
    coco_cn,
    cub,
    fmiqa,
    localized_narratives,
    oxford_102,
)
from pipelines.data.protocols.prepared import Protocol

PROTOCOLS = {
    "coco_14": Protocol(coco_14.read, coco_14.ROWS),
    "localized_narratives": Protocol(localized_narratives.read, localized_narratives.ROWS),
    "cub": Protocol(cub.read, cub.ROWS),
    "oxford_102": Protocol(oxford_102.read, oxford_102.ROWS),
    "coco_cn": Protocol(coco_cn.read, coco_cn.ROWS),
    "aic_icc": Protocol(aic_icc.read, aic_icc.ROWS),
    "fmiqa": Protocol(fmiqa.read, fmiqa.ROWS),
}
