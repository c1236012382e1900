/** A kind of topic names its topics and explains each, from the table that the rest of gvm works with. */
export interface TopicSource {
  /** `instruction`: shown beside the name, and in the list of kinds. */
  readonly kind: string;
  /** Names in the spelling that is shown; they are found whatever the case. */
  names(): Iterable<string>;
  /** Lines about a topic that {@link names} has, without the headline. */
  explain(name: string): readonly string[];
}
