import { stacks, synth } from "../unit/synth";

/**
 * Every resource address of the environment local. Another address means that Terraform destroys one resource and creates
 * another: change this list only together with a `moved` block or a note to those who have deployed.
 */
const ADDRESSES = {
  platform: [
    "docker_container.Postgres_9DC8BB04",
    "docker_container.Vault_23237E5B",
    "docker_image.Postgres_Image_F5C386CD",
    "docker_image.Vault_Image_1736749C",
    "docker_network.Network",
  ],
  postgres: [
    "postgresql_default_privileges.nanvc_PublicDefaultFunctions_80DB2C4C",
    "postgresql_default_privileges.nanvc_Roles_readonly_DefaultFunctions_8F45E451",
    "postgresql_default_privileges.nanvc_Roles_readonly_DefaultSequences_19066DA9",
    "postgresql_default_privileges.nanvc_Roles_readonly_DefaultTables_6CAD0D8A",
    "postgresql_default_privileges.nanvc_Roles_readwrite_DefaultFunctions_DBE7D172",
    "postgresql_default_privileges.nanvc_Roles_readwrite_DefaultSequences_9B88AC3C",
    "postgresql_default_privileges.nanvc_Roles_readwrite_DefaultTables_59EB76F6",
    "postgresql_default_privileges.nanvc_Roles_schema-admin_DefaultFunctions_DA71A6D6",
    "postgresql_default_privileges.nanvc_Roles_schema-admin_DefaultSequences_7E0F0E2C",
    "postgresql_default_privileges.nanvc_Roles_schema-admin_DefaultTables_E55016EB",
    "postgresql_grant.nanvc_Manager_Database_321CC155",
    "postgresql_grant.nanvc_OwnerDatabase_F1637ABE",
    "postgresql_grant.nanvc_PublicDatabase_46487A16",
    "postgresql_grant.nanvc_PublicFunctions_42D51D1D",
    "postgresql_grant.nanvc_Roles_VerifyOwner_Database_8E3E0366",
    "postgresql_grant.nanvc_Roles_VerifyShort_Database_B5B2A26D",
    "postgresql_grant.nanvc_Roles_readonly_Database_F11A8A9B",
    "postgresql_grant.nanvc_Roles_readonly_Functions_68E29A49",
    "postgresql_grant.nanvc_Roles_readonly_Schema_B08265F4",
    "postgresql_grant.nanvc_Roles_readonly_Sequences_AA170A72",
    "postgresql_grant.nanvc_Roles_readonly_Tables_024C47DC",
    "postgresql_grant.nanvc_Roles_readwrite_Database_EBEBA969",
    "postgresql_grant.nanvc_Roles_readwrite_Functions_64FC13A2",
    "postgresql_grant.nanvc_Roles_readwrite_Schema_8229D302",
    "postgresql_grant.nanvc_Roles_readwrite_Sequences_0374F9E6",
    "postgresql_grant.nanvc_Roles_readwrite_Tables_B6B333BA",
    "postgresql_grant.nanvc_Roles_schema-admin_Database_D8D93E97",
    "postgresql_grant.nanvc_Roles_schema-admin_Functions_8269DDD5",
    "postgresql_grant.nanvc_Roles_schema-admin_Schema_FFEE6DE1",
    "postgresql_grant.nanvc_Roles_schema-admin_Sequences_E8BC8E0D",
    "postgresql_grant.nanvc_Roles_schema-admin_Tables_D626791D",
    "postgresql_grant_role.nanvc_Manager_Members_VerifyOwner_DE1EA7CF",
    "postgresql_grant_role.nanvc_Manager_Members_VerifyShort_6C384358",
    "postgresql_grant_role.nanvc_Manager_Members_readonly_79D37ACB",
    "postgresql_grant_role.nanvc_Manager_Members_readwrite_FF87C7CE",
    "postgresql_grant_role.nanvc_Manager_Members_schema-admin_CD1021C2",
    "postgresql_grant_role.nanvc_Manager_Owner_082B24D1",
    "postgresql_role.nanvc_Manager_7B9F7F30",
    "postgresql_role.nanvc_Owner_4EF7591B",
    "postgresql_role.nanvc_Roles_VerifyOwner_8D388D66",
    "postgresql_role.nanvc_Roles_VerifyShort_5565A3BC",
    "postgresql_role.nanvc_Roles_readonly_A3256F81",
    "postgresql_role.nanvc_Roles_readwrite_04B7A5A6",
    "postgresql_role.nanvc_Roles_schema-admin_C70D9F38",
    "postgresql_schema.nanvc_Schema_C069C728",
  ],
  vault: [
    "vault_approle_auth_backend_role.AppRoles_db-admin-schema-role_8A0427A7",
    "vault_approle_auth_backend_role.AppRoles_db-readonly-role_9924DA85",
    "vault_approle_auth_backend_role.AppRoles_db-readwrite-role_0F2A3EBC",
    "vault_auth_backend.AppRoles_4501FF5E",
    "vault_database_secret_backend_connection.Mount-database_postgres-example_5E2B1F02",
    "vault_database_secret_backend_role.Mount-database_postgres-example_Roles_VerifyOwner_66C85C5B",
    "vault_database_secret_backend_role.Mount-database_postgres-example_Roles_VerifyShort_709EC2B4",
    "vault_database_secret_backend_role.Mount-database_postgres-example_Roles_readonly_22894420",
    "vault_database_secret_backend_role.Mount-database_postgres-example_Roles_readwrite_0EE19789",
    "vault_database_secret_backend_role.Mount-database_postgres-example_Roles_schema-admin_A1B993D0",
    "vault_mount.Mount-database_6DA8FA3C",
    "vault_policy.AppRoles_db-admin-schema-role_Policy_92F892A8",
    "vault_policy.AppRoles_db-readonly-role_Policy_B85AF7B9",
    "vault_policy.AppRoles_db-readwrite-role_Policy_61D717E8",
    "vault_policy.Deliverer_ECE61983",
    "vault_policy.Planner_D1424F44",
    "vault_policy.Verifier_F60271A7",
  ],
};

const built = stacks();

test.each(["platform", "postgres", "vault"] as const)("the addresses of %s", (stack) => {
  expect([...synth(built[stack]).resources.keys()].sort()).toEqual(ADDRESSES[stack]);
});
