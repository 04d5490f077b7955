/** The project's own files in config/, which its tests hold to the letter. Others in that folder are a user's. */
export const PROJECT_ENVIRONMENTS = ["approle", "external", "local", "marmelab", "tutorial"] as const;
