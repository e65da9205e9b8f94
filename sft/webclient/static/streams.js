/** Which participant's video is asked for in which slot: [{userid, quality}], the index being the slot. */

/** What the server was told last, and what is wanted; the two differ by who is present and by slots. */
export class VideoRequests {
  current = [];
  wanted = [];

  /** A new connection's slots are empty. */
  reset() {
    this.current = [];
  }

  slotOf(userid) {
    return this.current.findIndex((stream) => stream.userid === userid);
  }

  /** The list to send now, or null if there is nothing new to say. An empty list is never sent. */
  next(connection, roster) {
    const present = this.wanted.filter(({ userid }) => roster.get(userid));
    const wanted = present.slice(0, connection?.videoSlots.length ?? 0);
    const streams = arrangeStreams(this.current, wanted);
    if (streams.length === 0 || JSON.stringify(streams) === JSON.stringify(this.current)) return null;
    this.current = streams;
    return streams;
  }
}

/**
 * Those who stay keep their slot, so that their picture does not stop; newcomers take the places of those who
 * go. The list has no holes: what remains open is closed with the last ones.
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
