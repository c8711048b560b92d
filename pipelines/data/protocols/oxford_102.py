"""Oxford-102: flowers, with ten captions each; 82 classes are trained on, 20 others measured on.

Source: https://www.robots.ox.ac.uk/~vgg/data/flowers/102 (102flowers.tgz), and the captions and
lists of `described_classes`.

    ROOT/jpg/image_00001.jpg                 or ROOT/102flowers/jpg
    ROOT/cvpr2016_flowers/trainvalclasses.txt  testclasses.txt  text_c10/class_00001/image_06734.txt

The split is that of Reed et al. (1605.05396). `setid.mat` of the pictures divides every class and
is another one, and `imagelabels.mat` is not needed: the captions' folders tell the class. `label`
is `class_00001` and so on; the flowers' names are not among the files.
"""

from pathlib import Path

from pipelines.data.protocols.described_classes import described
from pipelines.data.protocols.originals import find
from pipelines.data.protocols.prepared import PreparedRow, Splits

ROWS = {"train": 7_034, "test": 1_155}


def read(root: Path) -> Splits:
    """Raises:
    UserError: the files are not as above.
    """
    images = find(root, "jpg", "102flowers/jpg")
    splits: Splits = {"train": [], "test": []}
    for one in described(find(root, "cvpr2016_flowers")):
        if one.captions:
            picture = images / f"{one.picture}.jpg"
            row = PreparedRow(picture, {"text": one.captions, "label": one.class_name})
            splits[one.split].append(row)
    return splits
