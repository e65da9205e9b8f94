/**
 * The next list of video streams, the index being the video slot.
 *
 * Those who stay keep their slot, so that their picture does not stop; newcomers take the places of those who
 * go. The list has no holes: what remains open is closed with the last ones.
 *
 * @param {{userid: string, quality: number}[]} current
 * @param {{userid: string, quality: number}[]} wanted
 */
export function arrangeStreams(current, wanted) {
  const open = new Map(wanted.map(({ userid, quality }) => [userid, { userid, quality }]));
  const next = current.map(({ userid }) => {
    const stays = open.get(userid) ?? null;
    open.delete(userid);
    return stays;
  });
  for (const stream of open.values()) {
    const hole = next.indexOf(null);
    if (hole < 0) next.push(stream);
    else next[hole] = stream;
  }
  for (let hole = next.indexOf(null); hole >= 0; hole = next.indexOf(null)) {
    const last = next.pop();
    if (hole < next.length) next[hole] = last;
  }
  return next;
}
