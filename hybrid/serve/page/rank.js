// Candidates ranked again by another weight between the sparse branches and the dense ones.

function sides({ branches, kinds }, row) {
  const mean = (kind) => {
    const parts = row.parts.filter((_, i) => kinds[branches[i]] === kind);
    return parts.reduce((sum, part) => sum + (part || 0), 0) / parts.length;
  };
  return [mean("sparse"), mean("dense")];
}

const weighed = ([sparse, dense], weight) => (1 - weight) * sparse + weight * dense;

export function rankedBy(candidates, weight) {
  const rows = candidates.rows.map((row) => {
    const both = sides(candidates, row);
    return { ...row, both, score: weighed(both, weight) };
  });
  return rows.sort((a, b) => b.score - a.score || (a.doc_id < b.doc_id ? 1 : -1));
}

// The weights around this one between which a document stays among the first k.
export function interval(row, rows, weight, k) {
  const slope = (one) => one.both[1] - one.both[0];
  const events = rows
    .filter((other) => other !== row && slope(other) !== slope(row))
    .map((other) => {
      const where = (row.both[0] - other.both[0]) / (slope(other) - slope(row));
      return { where, rises: slope(other) > slope(row) };
    })
    .sort((a, b) => a.where - b.where);
  const above = rows.indexOf(row);
  const walk = (list, step) => {
    let count = above;
    for (const { where, rises } of list) {
      count += rises === step > 0 ? 1 : -1;
      if (count >= k) return where;
    }
    return step > 0 ? 1 : 0;
  };
  const inside = ({ where }) => where >= 0 && where <= 1;
  const right = events.filter((one) => inside(one) && one.where > weight);
  const left = events.filter((one) => inside(one) && one.where <= weight).reverse();
  return [walk(left, -1), walk(right, 1)];
}

// The lists: the main one (reranked, or fused by the index or by the weight), then the others.
export function mainRows({ hits, candidates, rerank, k }, weight) {
  const places = new Map(candidates.rows.map((row) => [row.doc_id, row.ranks]));
  if (weight === null) {
    const first = new Map(rerank?.first.map((row) => [row.doc_id, row.rank]));
    return hits.map((hit) => ({
      ...hit, ...shown(hit), ranks: places.get(hit.doc_id) || [],
      ...(rerank ? { before: first.get(hit.doc_id) || 0 } : {}),
    }));
  }
  const rows = rankedBy(candidates, weight);
  const before = new Map(hits.map((hit) => [hit.doc_id, hit.rank]));
  return rows.slice(0, k).map((row, place) => ({
    ...row, rank: place + 1, before: before.get(row.doc_id) || 0, stays: interval(row, rows, weight, k),
  }));
}

export function otherLists({ hits, candidates, rerank, k }, weight) {
  const lists = candidates.branches.map((name, i) => ({
    name,
    rows: candidates.rows.filter((row) => row.ranks[i]).sort((a, b) => a.ranks[i] - b.ranks[i])
      .map((row) => ({ ...row, rank: row.ranks[i], score: row.scores[i] })).slice(0, k),
  }));
  if (rerank) lists.unshift(weight === null ? { name: "fused", rows: rerank.first } : { name: "reranked", rows: hits });
  return lists;
}

function shown({ text, snippet }) {
  const rest = Array.from(text).slice(snippet.end).join("");
  return { ...snippet, clipped: rest.trim() !== "" };
}
