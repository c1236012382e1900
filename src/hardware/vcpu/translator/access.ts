/** Kinds of access to guest memory that translated code makes. */
export type AccessKind = 'read' | 'write';
