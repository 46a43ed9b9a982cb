"""Decision trees of Spark, all of a model's at once. Source: treeModels.scala and Split.scala of spark.ml.tree."""

import numpy as np


class Trees:
    """The trees of a model, as arrays over all their nodes. The children of a leaf are the leaf itself."""

    def __init__(self, stage):
        nodes = [(row.get("treeID", 0), row.get("nodeData", row)) for row in stage.rows()]
        nodes.sort(key=lambda node: (node[0], node[1]["id"]))
        places = {(tree, node["id"]): place for place, (tree, node) in enumerate(nodes)}
        self.roots = np.array([place for (_, number), place in places.items() if number == 0])
        self.left, self.right = (
            np.array([places.get((tree, node[side]), place) for place, (tree, node) in enumerate(nodes)])
            for side in ("leftChild", "rightChild")
        )
        splits = [node["split"] for _, node in nodes]
        self.feature = np.array([max(0, split["featureIndex"]) for split in splits])
        self.categorical = np.array([split["numCategories"] >= 0 for split in splits]) & (self.left != self.right)
        self.threshold = np.array([threshold(split) for split in splits], float)
        self.categories = categories(splits, self.categorical)
        self.prediction = np.array([node["prediction"] for _, node in nodes], float)
        self.counts = np.array([node["impurityStats"] for _, node in nodes], float)
        self.depth = self._depth()

    def _depth(self):
        depth, level = 0, self.roots
        while len(level := level[self.left[level] != level]):
            level = np.concatenate([self.left[level], self.right[level]])
            depth += 1
            if depth > len(self.left):
                raise ValueError("its trees are damaged: a node is its own descendant")
        return depth

    def leaves(self, vectors):
        """The leaf of each row in each tree."""
        rows = np.arange(len(vectors))[:, None]
        at = np.tile(self.roots, (len(vectors), 1))
        for _ in range(self.depth):
            values = vectors[rows, self.feature[at]]
            goes_left = values <= self.threshold[at]
            if self.categories.size:
                known = np.clip(np.nan_to_num(values), 0, self.categories.shape[1] - 1).astype(int)
                goes_left = np.where(self.categorical[at], self.categories[at, known], goes_left)
            at = np.where(goes_left, self.left[at], self.right[at])
        return at


def threshold(split):
    values = split["leftCategoriesOrThreshold"]
    return values[0] if split["numCategories"] < 0 and values else 0.0


def categories(splits, categorical):
    """Whether a category goes left, by node and category. The last column is for all unknown categories.

    Spark stores the smaller side of a split, and sends all other categories to the other side.
    """
    if not categorical.any():
        return np.zeros((len(splits), 0), bool)
    count = max(split["numCategories"] for split in splits)
    table = np.zeros((len(splits), count + 1), bool)
    for place in np.flatnonzero(categorical):
        left, known = splits[place]["leftCategoriesOrThreshold"], splits[place]["numCategories"]
        table[place, known:] = len(left) > known / 2
        table[place, np.array(left, int)] = True
    return table
