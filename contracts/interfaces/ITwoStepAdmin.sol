// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// @title One admin, who changes in two steps
///
/// PROMISES
/// - DEFAULT_ADMIN_ROLE is held by exactly one account at every moment. It moves only by an offer of that account and
///   the acceptance of the next one: never to an address that cannot call, and never into nothing.
/// - Until the acceptance the admin keeps everything, and may offer it to somebody else instead: the last offer counts.
/// - All other roles are granted and revoked by the admin at once.
///
/// WARNING: there is no waiting here. How long a change of the admin is known beforehand is the admin's own delay: the
/// Timelock's, once it is the admin.
interface ITwoStepAdmin {
    /// @param admin Who offers, and stays admin until the acceptance.
    /// @param next Who may accept; zero if the offer was taken back.
    event AdminOffered(address indexed admin, address indexed next);

    /// @notice Thrown when the admin's role is granted, revoked or given up in another way than by offer and
    /// acceptance.
    error AdminMovesInTwoSteps();
    /// @notice Thrown when somebody accepts what was not offered to them.
    error NotOffered(address account);

    /// @notice Offers the admin's role to `next` (DEFAULT_ADMIN_ROLE); zero takes the offer back.
    function offerAdmin(address next) external;
    /// @notice Takes the admin's role over; for the account it was offered to.
    function acceptAdmin() external;

    /// @return account Who holds DEFAULT_ADMIN_ROLE.
    function admin() external view returns (address account);
    /// @return account Who may accept it; zero for nobody.
    function offeredTo() external view returns (address account);
}
